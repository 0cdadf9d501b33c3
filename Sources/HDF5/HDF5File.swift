import CHDF5

/// An open HDF5 file.
///
/// A thin layer: objects are named by their path in the file, handles close once. libhdf5 trusts what it reads, so a
/// file must be known to be sound before ``open(image:path:)``.
public struct HDF5File: ~Copyable {
    /// The file's path.
    public let path: String
    let handle: HDF5Handle

    /// Creates the file at `path`, or empties the one that is there.
    ///
    /// - Parameters:
    ///   - userBlock: bytes at the start that HDF5 leaves alone: 0, or a power of two from 512.
    ///   - alignment: datasets begin at multiples of this many bytes.
    public static func create(path: String, userBlock: Int = 0, alignment: Int = 64) throws(HDF5Error) -> HDF5File {
        prepareHDF5()
        let creation = try HDF5Handle(H5Pcreate(kvlab_H5P_FILE_CREATE()), file: path, action: "set up the file")
        try check(H5Pset_userblock(creation.id, hsize_t(userBlock)), path, "reserve a user block")
        // Equal content gives equal bytes: no time of writing, in the root group either.
        try check(H5Pset_obj_track_times(creation.id, false), path, "leave times out")
        let access = try accessList(path)
        try check(H5Pset_alignment(access.id, 1, hsize_t(alignment)), path, "set the alignment")
        let id = unsafe H5Fcreate(path, kvlab_H5F_ACC_TRUNC(), creation.id, access.id)
        return HDF5File(path: path, handle: try HDF5Handle(id, file: path, action: "create the HDF5 file"))
    }

    /// Opens a file that is in memory, for reading; `path` is what errors call it.
    ///
    /// Neither the file nor its datasets may outlive `image`, of which nothing is copied and nothing written. No system call but for
    /// memory is made, here and when its objects are read.
    @unsafe public static func open(image: UnsafeRawBufferPointer, path: String) throws(HDF5Error) -> HDF5File {
        prepareHDF5()
        let access = try accessList(path)
        try check(unsafe kvlab_set_image(access.id, image.baseAddress, image.count), path, "set up the file")
        let id = unsafe H5Fopen(path, kvlab_H5F_ACC_RDONLY(), access.id)
        return HDF5File(path: path, handle: try HDF5Handle(id, file: path, action: "open as HDF5"))
    }

    private static func accessList(_ path: String) throws(HDF5Error) -> HDF5Handle {
        let access = try HDF5Handle(H5Pcreate(kvlab_H5P_FILE_ACCESS()), file: path, action: "set up the file")
        // The format of HDF5 1.8 checksums its own metadata and every reader in use knows it.
        try check(H5Pset_libver_bounds(access.id, H5F_LIBVER_V18, H5F_LIBVER_V18), path, "choose the format")
        // Our own locks decide who may write; HDF5's fail on some network file systems.
        try check(H5Pset_file_locking(access.id, false, true), path, "turn locking off")
        try check(H5Pset_fclose_degree(access.id, H5F_CLOSE_STRONG), path, "set up the file")
        return access
    }

    /// Writes out everything and returns the file's final size; the file closes when the value goes.
    public func flush() throws(HDF5Error) -> Int {
        try check(H5Fflush(handle.id, H5F_SCOPE_GLOBAL), path, "write")
        var size: hsize_t = 0
        try check(unsafe H5Fget_filesize(handle.id, &size), path, "measure")
        return Int(size)
    }

    /// Creates an empty group; its parent must exist.
    public func createGroup(_ name: String) throws(HDF5Error) {
        let creation = try HDF5Handle(H5Pcreate(kvlab_H5P_GROUP_CREATE()), file: path, action: "create '\(name)'")
        // When a file was written is no part of its content.
        try check(H5Pset_obj_track_times(creation.id, false), path, "create '\(name)'")
        let id = unsafe H5Gcreate2(handle.id, name, hid_t(H5P_DEFAULT), creation.id, hid_t(H5P_DEFAULT))
        _ = try HDF5Handle(id, file: path, action: "create '\(name)'")
    }

    /// Whether an object called `name` exists, whose parent does. What a link leads to, here or in another file, does not count.
    public func contains(_ name: String) -> Bool {
        guard unsafe H5Lexists(handle.id, name, hid_t(H5P_DEFAULT)) > 0 else { return false }
        var link = H5L_info_t()
        return unsafe H5Lget_info(handle.id, name, &link, hid_t(H5P_DEFAULT)) >= 0 && link.type == H5L_TYPE_HARD
    }

    /// Whether the object called `name` is a group.
    public func isGroup(_ name: String) throws(HDF5Error) -> Bool {
        guard contains(name) else { throw .missing(file: path, object: name) }
        let opened = unsafe H5Oopen(handle.id, name, hid_t(H5P_DEFAULT))
        let object = try HDF5Handle(opened, file: path, action: "open '\(name)'")
        return H5Iget_type(object.id) == H5I_GROUP
    }

    /// The names in group `name`, in the library's own order by name. Links that lead out of the file are refused.
    public func children(of name: String) throws(HDF5Error) -> [String] {
        guard name == "/" || contains(name) else { throw .missing(file: path, object: name) }
        let opened = unsafe H5Oopen(handle.id, name, hid_t(H5P_DEFAULT))
        let group = try HDF5Handle(opened, file: path, action: "open '\(name)'")
        guard H5Iget_type(group.id) == H5I_GROUP else {
            throw .unexpected(file: path, object: name, found: "no group", expected: "a group")
        }
        var info = H5G_info_t()
        try check(unsafe H5Gget_info(group.id, &info), path, "list '\(name)'")
        var names: [String] = []
        for index in 0..<info.nlinks {
            var link = H5L_info_t()
            try check(
                unsafe H5Lget_info_by_idx(group.id, ".", H5_INDEX_NAME, H5_ITER_INC, index, &link, hid_t(H5P_DEFAULT)), path,
                "list '\(name)'")
            guard link.type == H5L_TYPE_HARD else {
                throw .unexpected(file: path, object: name, found: "a group with links elsewhere", expected: "own objects only")
            }
            let length = unsafe H5Lget_name_by_idx(
                group.id, ".", H5_INDEX_NAME, H5_ITER_INC, index, nil, 0, hid_t(H5P_DEFAULT))
            guard length >= 0, length <= 4096 else { throw .library(path, "list '\(name)'") }
            var bytes = [CChar](repeating: 0, count: length + 1)
            _ = unsafe H5Lget_name_by_idx(
                group.id, ".", H5_INDEX_NAME, H5_ITER_INC, index, &bytes, bytes.count, hid_t(H5P_DEFAULT))
            names.append(String(decoding: bytes.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self))
        }
        return names
    }
}
