import Models
import TestSupport
import Testing

/// Fresh weights by the distribution that a recipe names.
@Suite struct InitializationTests {
    private let config = TinyModel.config()

    @Test func fanInDrawsMatricesUniformlyToTheRootOfTheirInputs() throws {
        let parameters = Parameters.initialized(for: config, .fanIn, seed: 3)
        for (name, shape) in config.weights where shape.count == 2 && name.module != .embedding {
            let values = try #require(parameters[name]).float32().array()
            let limit = 1 / Float(shape[1]).squareRoot()
            #expect(values.allSatisfy { abs($0) <= limit }, "\(name)")
            let variance = values.reduce(0) { $0 + Double($1 * $1) } / Double(values.count)
            #expect(abs(variance * 3 * Double(shape[1]) - 1) < 0.2, "\(name)")
        }
    }

    @Test func embeddingsAreTheSameUnderEitherInitialization() throws {
        let name = WeightName(.embedding)
        let fresh = try Initialization.allCases.map {
            try #require(Parameters.initialized(for: config, $0, seed: 3)[name]).float32().array()
        }
        #expect(fresh.allSatisfy { $0 == fresh[0] })
    }
}
