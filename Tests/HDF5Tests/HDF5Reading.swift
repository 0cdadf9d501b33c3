import CHDF5

@testable import HDF5

/// Reading by libhdf5 itself, which the product leaves to its own code.
extension HDF5File {
    /// Opens the file at `path` for reading.
    static func open(path: String) throws(HDF5Error) -> HDF5File {
        prepareHDF5()
        let id = H5Fopen(path, kvlab_H5F_ACC_RDONLY(), hid_t(H5P_DEFAULT))
        return HDF5File(path: path, handle: try HDF5Handle(id, file: path, action: "open as HDF5"))
    }
}

extension HDF5Dataset {
    /// All elements of a `uint8` dataset.
    func bytes() throws(HDF5Error) -> [UInt8] { try array(of: .uint8, repeating: 0) }

    /// All elements of a `float32` dataset.
    func floats() throws(HDF5Error) -> [Float] { try array(of: .float32, repeating: 0) }

    private func array<Element: BitwiseCopyable>(
        of expected: HDF5Type, repeating zero: Element
    ) throws(HDF5Error) -> [Element] {
        guard type == expected else {
            throw .unexpected(file: file, object: name, found: type.rawValue, expected: expected.rawValue)
        }
        var array = [Element](repeating: zero, count: count)
        let memory = try type.make(file)
        let status = array.withUnsafeMutableBytes {
            $0.isEmpty ? 0 : H5Dread(handle.id, memory.id, hid_t(H5S_ALL), hid_t(H5S_ALL), hid_t(H5P_DEFAULT), $0.baseAddress)
        }
        try check(status, file, "read '\(name)'")
        return array
    }
}
