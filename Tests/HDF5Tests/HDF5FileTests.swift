import TestSupport
import Testing

import HDF5

@Suite struct HDF5FileTests {
    let scratch = ScratchDirectory()

    @Test func `datasets and attributes are read back`() throws {
        let path = scratch["a.h5"]
        let long = String(repeating: "é", count: 200_000)
        do {
            let file = try HDF5File.create(path: path, userBlock: 1024)
            try file.createGroup("/g")
            try file.setAttribute("text", to: "schön 💡")
            try file.setAttribute("long", on: "/g", to: long)
            try file.setAttribute("empty", to: "")
            try file.setAttribute("number", to: -7)
            let bytes = try file.createDataset("/g/bytes", type: .uint8, shape: [3])
            try bytes.write([1, 2, 3])
            let floats = try file.createDataset("/g/floats", type: .float32, shape: [5], layout: .checksummed(elements: 2))
            let values: [Float] = [1, -2, .pi, .infinity, -0.0]
            try values.withUnsafeBytes { try floats.write($0) }
            for name in ["/none", "/nothing"] {
                _ = try file.createDataset(name, type: .uint8, shape: [0], layout: .checksummed(elements: 4))
            }
            _ = try file.flush()
        }
        let file = try HDF5File.open(path: path)
        #expect(try file.text("text") == "schön 💡")
        #expect(try file.text("long", on: "/g") == long)
        #expect(try file.text("empty") == "")
        #expect(try file.number("number") == -7)
        #expect(try file.text("absent") == nil)
        #expect(try file.children(of: "/") == ["g", "none", "nothing"])
        #expect(try file.children(of: "/g") == ["bytes", "floats"])
        #expect(try file.openDataset("/g/bytes").bytes() == [1, 2, 3])
        let floats = try file.openDataset("/g/floats")
        #expect(try floats.floats().map(\.bitPattern) == [Float(1), -2, .pi, .infinity, -0.0].map(\.bitPattern))
        #expect(try file.openDataset("/none").bytes() == [])
        #expect(try file.isGroup("/g"))
        #expect(try !file.isGroup("/g/bytes"))
    }

    @Test(arguments: HDF5Type.allCases)
    func `a contiguous dataset lies at an aligned place that counts the user block`(type: HDF5Type) throws {
        let path = scratch["a.h5"]
        var offsets: [Int] = []
        do {
            let file = try HDF5File.create(path: path, userBlock: 512, alignment: 64)
            for index in 0..<20 {
                // A name long enough to push the metadata around between the datasets.
                let name = "/" + String(repeating: "x", count: 7 * index + 1)
                let dataset = try file.createDataset(name, type: type, shape: [3, 5])
                try dataset.write([UInt8](repeating: UInt8(index + 1), count: dataset.byteCount))
                offsets.append(dataset.fileOffset ?? -1)
            }
            _ = try file.flush()
        }
        let bytes = scratch.bytes("a.h5")
        for (index, offset) in offsets.enumerated() {
            let count = 15 * type.byteCount
            #expect(offset % 64 == 0)
            #expect(bytes[offset..<offset + count].allSatisfy { $0 == UInt8(index + 1) })
        }
        let file = try HDF5File.open(path: path)
        #expect(try file.openDataset("/x").type == type)
        #expect(try file.openDataset("/x").shape == [3, 5])
    }

    @Test func `a flipped bit in a checksummed dataset is an error`() throws {
        let path = scratch["a.h5"]
        do {
            let file = try HDF5File.create(path: path)
            let dataset = try file.createDataset("/d", type: .uint8, shape: [1000], layout: .checksummed(elements: 500))
            try dataset.write([UInt8](repeating: 0xAB, count: 1000))
            _ = try file.flush()
        }
        var bytes = scratch.bytes("a.h5")
        let run = try #require(bytes.indices.first { $0 + 100 < bytes.count && bytes[$0..<$0 + 100].allSatisfy { $0 == 0xAB } })
        bytes[run + 50] ^= 4
        try scratch.write(bytes, to: "a.h5")
        let file = try HDF5File.open(path: path)
        #expect(throws: HDF5Error.self) { try file.openDataset("/d").bytes() }
    }

    @Test func `what is not there or not what it should be is an error naming it`() throws {
        let path = scratch["a.h5"]
        do {
            let file = try HDF5File.create(path: path)
            try file.createGroup("/g")
            try file.setAttribute("n", to: 1)
            _ = try file.createDataset("/big", type: .float32, shape: [1000])
            #expect(throws: HDF5Error.self) { try file.createGroup("/a/b") }
            #expect(throws: HDF5Error.self) { try file.createGroup("/g") }
            #expect(throws: HDF5Error.self) { try file.setAttribute("t", to: "a\0b") }
            _ = try file.flush()
        }
        let file = try HDF5File.open(path: path)
        #expect(throws: HDF5Error.missing(file: path, object: "/x")) { _ = try file.openDataset("/x") }
        #expect(throws: HDF5Error.unexpected(file: path, object: "/g", found: "no dataset", expected: "a dataset")) {
            _ = try file.openDataset("/g")
        }
        #expect(throws: HDF5Error.self) { _ = try file.openDataset("/big", byteLimit: 3999) }
        #expect(throws: HDF5Error.self) { try file.text("n") }
        #expect(throws: HDF5Error.self) { try file.children(of: "/big") }
        #expect(throws: HDF5Error.self) { try file.openDataset("/big").bytes() }
    }

    @Test func `a file that is not HDF5 or not there is an error with the reason`() throws {
        try scratch.write(Array("not hdf5".utf8), to: "t")
        #expect(throws: HDF5Error.self) { _ = try HDF5File.open(path: scratch["t"]) }
        let error = #expect(throws: HDF5Error.self) { _ = try HDF5File.open(path: scratch["absent"]) }
        #expect(error?.description == "\(scratch["absent"]): cannot open as HDF5: No such file or directory")
    }

    @Test(.enabled(if: Python.has("h5py"), "python3 with h5py is not installed"))
    func `links, cycles and data that is kept elsewhere lead nowhere`() throws {
        let path = scratch["a.h5"]
        let script = """
            import h5py, numpy, sys
            path, other = sys.argv[1:]
            with h5py.File(other, "w") as f:
                f["d"] = numpy.zeros(4, "<f4")
            with h5py.File(path, "w") as f:
                f["d"] = numpy.zeros(4, "<f4")
                f["group/up"] = f["/"]
                f["soft"] = h5py.SoftLink("/d")
                f["round"] = h5py.SoftLink("/round")
                f["away"] = h5py.ExternalLink(other, "/d")
                f.create_dataset("outside", (4,), "<f4", external=[(other, 0, 16)])
                layout = h5py.VirtualLayout((4,), "<f4")
                layout[:] = h5py.VirtualSource(other, "d", (4,))
                f.create_virtual_dataset("virtual", layout)
            """
        let made = try Python.run(script, [path, scratch["b.h5"]])
        #expect(made.status == 0, "\(made.errors)")
        let file = try HDF5File.open(path: path)
        #expect(try file.openDataset("/d").shape == [4])
        for name in ["/soft", "/round", "/away"] {
            #expect(throws: HDF5Error.missing(file: path, object: name)) { _ = try file.openDataset(name) }
        }
        for name in ["/outside", "/virtual"] {
            #expect(
                throws: HDF5Error.unexpected(
                    file: path, object: name, found: "kept in other files", expected: "data of its own")
            ) { _ = try file.openDataset(name) }
        }
        #expect(throws: HDF5Error.self) { try file.children(of: "/") }
        // A circle is walked no further than names say.
        #expect(try file.children(of: "/group") == ["up"])
        #expect(throws: HDF5Error.self) { _ = try file.openDataset("/group/up") }
    }

    @Test(.enabled(if: Python.has("h5py"), "python3 with h5py is not installed"))
    func `h5py reads every element type and text`() throws {
        let path = scratch["a.h5"]
        do {
            let file = try HDF5File.create(path: path, userBlock: 512)
            try file.setAttribute("text", to: "schön")
            // 1.5 as float32, IEEE half and bfloat16.
            try file.createDataset("/f32", type: .float32, shape: [1]).write([0, 0, 0xC0, 0x3F])
            try file.createDataset("/f16", type: .float16, shape: [1]).write([0x00, 0x3E])
            try file.createDataset("/bf16", type: .bfloat16, shape: [1]).write([0xC0, 0x3F])
            _ = try file.flush()
        }
        let script = """
            import h5py, sys
            f = h5py.File(sys.argv[1])
            print(f.attrs["text"], [(k, float(f[k][0]), str(f[k].dtype)) for k in sorted(f)])
            """
        let result = try Python.run(script, [path])
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.output == "schön [('bf16', 1.5, 'float32'), ('f16', 1.5, 'float16'), ('f32', 1.5, 'float32')]\n")
    }
}
