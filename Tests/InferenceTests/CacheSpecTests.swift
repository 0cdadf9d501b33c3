import Kernels
import Testing

@testable import Inference

@Suite struct CacheSpecTests {
    @Test func `a configuration is read back from its description, for every encoding`() throws {
        for encoding in KVEncoding.all {
            let spec = try CacheSpec("dtype=\(encoding.name)")
            #expect(spec.encoding == encoding)
            #expect(try CacheSpec("\(spec)") == spec)
            // What is not set is the default.
            #expect(try CacheSpec("full", defaults: encoding) == spec)
            var options = EngineOptions()
            spec.apply(to: &options)
            #expect(options.encoding == encoding)
        }
    }

    @Test(arguments: [
        ("", "'' is no setting of a cache; use full, or KEY=VALUE with one of the keys dtype"),
        ("half", "'half' is no setting of a cache; use full, or KEY=VALUE with one of the keys dtype"),
        ("full,dtype=bf16", "'full' is no setting of a cache; use full, or KEY=VALUE with one of the keys dtype"),
        ("dtype=bf16,evict=h2o", "'evict=h2o' is no setting of a cache; use full, or KEY=VALUE with one of the keys dtype"),
        ("dtype=bf16,dtype=fp16", "'dtype' is set twice in 'dtype=bf16,dtype=fp16'"),
    ])
    func `what is no configuration is answered with the keys`(text: String, sentence: String) throws {
        let error = #expect(throws: InferenceError.self) { try CacheSpec(text) }
        #expect(try #require(error).description == sentence)
    }

    @Test func `an unknown dtype is answered with all of them`() throws {
        let error = #expect(throws: InferenceError.self) { try CacheSpec("dtype=int99") }
        let names = KVEncoding.all.map(\.name).joined(separator: ", ")
        #expect(try #require(error).description == "'int99' is no dtype; the dtypes are \(names)")
    }
}
