import CHDF5

extension HDF5File {
    /// Attaches UTF-8 text of any length to the object called `object`; `/` is the file itself.
    public func setAttribute(_ name: String, on object: String = "/", to text: String) throws(HDF5Error) {
        let action = "write attribute '\(name)' of '\(object)'"
        // The library takes the text as a C string, which a zero byte would end early.
        guard !text.utf8.contains(0) else {
            throw .unexpected(file: path, object: "\(object)@\(name)", found: "text with a zero byte", expected: "text without")
        }
        let type = try textType()
        let attribute = try createAttribute(name, on: object, type: type.id, action)
        var failed: herr_t = 0
        unsafe text.withCString { characters in
            unsafe withUnsafePointer(to: characters) { unsafe failed = H5Awrite(attribute.id, type.id, $0) }
        }
        try check(failed, path, action)
    }

    /// Attaches a whole number to the object called `object`.
    public func setAttribute(_ name: String, on object: String = "/", to number: Int) throws(HDF5Error) {
        let action = "write attribute '\(name)' of '\(object)'"
        let attribute = try createAttribute(name, on: object, type: kvlab_H5T_STD_I64LE(), action)
        var value = Int64(number)
        try check(unsafe H5Awrite(attribute.id, kvlab_H5T_NATIVE_INT64(), &value), path, action)
    }

    /// The text attached to `object` under `name`, or nil.
    public func text(_ name: String, on object: String = "/") throws(HDF5Error) -> String? {
        guard let attribute = try openAttribute(name, on: object) else { return nil }
        let type = try textType()
        let found = try HDF5Handle(H5Aget_type(attribute.id), file: path, action: "read attribute '\(name)'")
        guard H5Tget_class(found.id) == H5T_STRING, H5Tis_variable_str(found.id) > 0, try isScalar(attribute) else {
            throw .unexpected(file: path, object: "\(object)@\(name)", found: "no text", expected: "text of variable length")
        }
        var characters: UnsafeMutablePointer<CChar>?
        try check(unsafe H5Aread(attribute.id, type.id, &characters), path, "read attribute '\(name)' of '\(object)'")
        guard let characters = unsafe characters else { return "" }
        defer { unsafe H5free_memory(characters) }
        guard let text = unsafe String(validatingCString: characters) else {
            throw .unexpected(file: path, object: "\(object)@\(name)", found: "no UTF-8", expected: "UTF-8 text")
        }
        return text
    }

    /// The whole number attached to `object` under `name`, or nil.
    public func number(_ name: String, on object: String = "/") throws(HDF5Error) -> Int? {
        guard let attribute = try openAttribute(name, on: object) else { return nil }
        let found = try HDF5Handle(H5Aget_type(attribute.id), file: path, action: "read attribute '\(name)'")
        guard H5Tget_class(found.id) == H5T_INTEGER, try isScalar(attribute) else {
            throw .unexpected(file: path, object: "\(object)@\(name)", found: "no whole number", expected: "a whole number")
        }
        var value: Int64 = 0
        try check(unsafe H5Aread(attribute.id, kvlab_H5T_NATIVE_INT64(), &value), path, "read attribute '\(name)'")
        return Int(value)
    }

    private func textType() throws(HDF5Error) -> HDF5Handle {
        let type = try HDF5Handle(H5Tcopy(kvlab_H5T_C_S1()), file: path, action: "make a type")
        try check(H5Tset_size(type.id, kvlab_H5T_VARIABLE()), path, "make a type")
        try check(H5Tset_cset(type.id, H5T_CSET_UTF8), path, "make a type")
        return type
    }

    private func createAttribute(
        _ name: String, on object: String, type: hid_t, _ action: String
    ) throws(HDF5Error) -> HDF5Handle {
        let space = try HDF5Handle(H5Screate(H5S_SCALAR), file: path, action: action)
        let id = unsafe H5Acreate_by_name(
            handle.id, object, name, type, space.id, hid_t(H5P_DEFAULT), hid_t(H5P_DEFAULT), hid_t(H5P_DEFAULT))
        return try HDF5Handle(id, file: path, action: action)
    }

    private func openAttribute(_ name: String, on object: String) throws(HDF5Error) -> HDF5Handle? {
        let exists = unsafe H5Aexists_by_name(handle.id, object, name, hid_t(H5P_DEFAULT))
        guard exists >= 0 else { throw .library(path, "look for attribute '\(name)' of '\(object)'") }
        guard exists > 0 else { return nil }
        let id = unsafe H5Aopen_by_name(handle.id, object, name, hid_t(H5P_DEFAULT), hid_t(H5P_DEFAULT))
        return try HDF5Handle(id, file: path, action: "open attribute '\(name)' of '\(object)'")
    }

    private func isScalar(_ attribute: borrowing HDF5Handle) throws(HDF5Error) -> Bool {
        let space = try HDF5Handle(H5Aget_space(attribute.id), file: path, action: "read an attribute")
        return H5Sget_simple_extent_npoints(space.id) == 1
    }
}
