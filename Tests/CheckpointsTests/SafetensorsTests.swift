import Checkpoints
import Kernels
import Models
import TestSupport
import Testing

@Suite struct SafetensorsTests {
    let scratch = ScratchDirectory()

    private func write(_ header: String, data: Int, length: UInt64? = nil) throws {
        let length = length ?? UInt64(header.utf8.count)
        let prefix = (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) }
        try scratch.write(prefix + Array(header.utf8) + [UInt8](repeating: 7, count: data), to: "m.safetensors")
    }

    private func entry(_ name: String, _ shape: [Int], _ start: Int, _ end: Int, type: String = "F32") -> String {
        #""\#(name)":{"dtype":"\#(type)","shape":\#(shape),"data_offsets":[\#(start),\#(end)]}"#
    }

    @Test func `tensors written are read back bit for bit, in every element type`() throws {
        let parameters = TinyCheckpoint.parameters()
        let weights = parameters.names.map { ($0, parameters[$0]!) }
        for type in ElementType.allCases {
            let path = scratch["m.safetensors"]
            try SafetensorsWriter.write(weights, to: path, elementType: type)
            let file = try SafetensorsFile(path: path)
            #expect(file.metadata == ["format": "pt"])
            #expect(file.tensors.map(\.name) == parameters.names.sorted())
            let read = try file.tensors.map { ($0.name, try #require(try file.weight($0.name))) }
            try SafetensorsWriter.write(read, to: scratch["n.safetensors"])
            #expect(scratch.bytes("n.safetensors") == scratch.bytes("m.safetensors"))
            #expect(read.allSatisfy { $0.1.elementType == type && $0.1.shape == parameters[$0.0]?.shape })
            if type == .float32 { #expect(read.allSatisfy { $0.1.bytes == parameters[$0.0]?.bytes }) }
        }
    }

    @Test func `scalars, empty tensors, an empty file and data at any alignment are valid`() throws {
        try write("{}", data: 0)
        #expect(try SafetensorsFile(path: scratch["m.safetensors"]).tensors.isEmpty)
        try write("{\(entry("e", [0, 4], 1, 1)),\(entry("b", [1], 0, 1, type: "U8")),\(entry("s", [], 1, 5))}  ", data: 5)
        let file = try SafetensorsFile(path: scratch["m.safetensors"])
        #expect(file.tensors.map(\.name) == ["b", "e", "s"])
        #expect(try file.weight("s")?.float32().array() == [Float(bitPattern: 0x0707_0707)])
        #expect(try file.weight("e")?.count == 0)
        #expect(try file.weight("x") == nil)
        #expect(throws: ImportError.self) { try file.weight("b") }
    }

    @Test func `whatever does not fit is refused`() throws {
        let a = entry("a", [1], 0, 4)
        let cases: [(header: String, data: Int)] = [
            ("{\(a),\(a)}", 4), ("{\(a),\(entry("b", [1], 0, 4))}", 4), ("{\(a),\(entry("b", [1], 2, 6))}", 6),
            ("{\(a),\(entry("b", [1], 8, 12))}", 12), ("{\(entry("a", [1], 4, 8))}", 8), ("{\(a)}", 5), ("{\(a)}", 3),
            ("{\(entry("a", [2], 0, 4))}", 4), ("{\(entry("a", [1], 0, 4, type: "F99"))}", 4), (" {\(a)}", 4), ("{\(a)} x", 4),
            ("{\(entry("a", [4_611_686_018_427_387_904, 4], 0, 0))}", 0), ("{\(entry("a", [Int.max, Int.max], 0, 4))}", 4),
            ("{\(entry("a", [1], 4, 0))}", 4), ("{\(entry("a", [-1], 0, 4))}", 4), ("[]", 0), ("", 0), ("{", 0), ("{\"a\":1}", 0),
            (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}"#, 4), (#"{"a":{"dtype":"F32","shape":[1]}}"#, 4),
            (#"{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}"#, 4),
            (#"{"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}"#, 4),
            (#"{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,4]}}"#, 4),
            (#"{"__metadata__":{"a":1}}"#, 0), (#"{"__metadata__":{"a":"1","a":"2"}}"#, 0), (#"{"\ud800":{}}"#, 0),
        ]
        for (header, data) in cases {
            try write(header, data: data)
            #expect(throws: ImportError.self, "\(header)") { try SafetensorsFile(path: scratch["m.safetensors"]) }
        }
        for length: UInt64 in [3, 100_000_001, .max, 1 << 63] {
            try write("{}", data: 0, length: length)
            #expect(throws: ImportError.self) { try SafetensorsFile(path: scratch["m.safetensors"]) }
        }
        try scratch.write([1, 2, 3], to: "m.safetensors")
        #expect(throws: ImportError.self) { try SafetensorsFile(path: scratch["m.safetensors"]) }
    }

    @Test func `a file cut or flipped anywhere gives an error or a file, never a crash`() throws {
        let parameters = TinyCheckpoint.parameters()
        try SafetensorsWriter.write(
            parameters.names.prefix(3).map { ($0, parameters[$0]!) }, to: scratch["m.safetensors"], elementType: .float16)
        let good = scratch.bytes("m.safetensors")
        for count in good.indices {
            try scratch.write(good[..<count], to: "n.safetensors")
            #expect(throws: ImportError.self) { try SafetensorsFile(path: scratch["n.safetensors"]) }
            for bit in [0, 5, 7] {
                var flipped = good
                flipped[count] ^= 1 << UInt8(bit)
                try scratch.write(flipped, to: "n.safetensors")
                if let file = try? SafetensorsFile(path: scratch["n.safetensors"]) {
                    for tensor in file.tensors { _ = try? file.weight(tensor.name)?.float32() }
                }
            }
        }
    }

    @Test(.enabled(if: Python.has("safetensors.numpy"), "python3 with safetensors is not installed"))
    func `the safetensors package reads what is written`() throws {
        let parameters = TinyCheckpoint.parameters()
        try SafetensorsWriter.write(parameters.names.map { ($0, parameters[$0]!) }, to: scratch["m.safetensors"])
        let script = """
            import sys
            from safetensors.numpy import load_file
            t = load_file(sys.argv[1])
            print(len(t), t["model.layers.1.self_attn.k_proj.weight"].shape, float(t["model.norm.weight"][0]))
            """
        let result = try Python.run(script, [scratch["m.safetensors"]])
        let first = parameters["model.norm.weight"]!.float32()[0]
        #expect(result.output == "\(parameters.names.count) (2, 4) \(Double(first))\n", "\(result.errors)")
    }
}
