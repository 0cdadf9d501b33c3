import CHDF5

/// The element types a dataset of ours can have.
public enum HDF5Type: String, Sendable, CaseIterable {
    case float32, float16, bfloat16, uint8

    /// Bytes one element takes.
    public var byteCount: Int {
        switch self {
        case .float32: 4
        case .float16, .bfloat16: 2
        case .uint8: 1
        }
    }

    /// A fresh library type. HDF5 1.10 has no 16-bit floats of its own, but lets any be described by its fields: h5py
    /// reads IEEE half as float16 and bfloat16 as float32.
    func make(_ file: String) throws(HDF5Error) -> HDF5Handle {
        switch self {
        case .float32: try HDF5Handle(H5Tcopy(kvlab_H5T_IEEE_F32LE()), file: file, action: "make a type")
        case .uint8: try HDF5Handle(H5Tcopy(kvlab_H5T_STD_U8LE()), file: file, action: "make a type")
        case .float16: try Self.float(exponentBits: 5, mantissaBits: 10, file)
        case .bfloat16: try Self.float(exponentBits: 8, mantissaBits: 7, file)
        }
    }

    private static func float(exponentBits: Int, mantissaBits: Int, _ file: String) throws(HDF5Error) -> HDF5Handle {
        let type = try HDF5Handle(H5Tcopy(kvlab_H5T_IEEE_F32LE()), file: file, action: "make a type")
        try check(H5Tset_fields(type.id, 15, mantissaBits, exponentBits, 0, mantissaBits), file, "describe a 16-bit float")
        try check(H5Tset_size(type.id, 2), file, "describe a 16-bit float")
        try check(H5Tset_ebias(type.id, 1 << (exponentBits - 1) - 1), file, "describe a 16-bit float")
        return type
    }

    /// The type equal to the library's `id`, if it is one of ours.
    static func matching(_ id: hid_t, file: String) throws(HDF5Error) -> HDF5Type? {
        for type in allCases {
            let candidate = try type.make(file)
            if H5Tequal(candidate.id, id) > 0 { return type }
        }
        return nil
    }
}
