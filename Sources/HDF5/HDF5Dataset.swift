import CHDF5

/// An open dataset: an array of one element type.
public struct HDF5Dataset: ~Copyable {
    /// The file it is in.
    public let file: String
    /// Its path in the file.
    public let name: String
    /// Its element type.
    public let type: HDF5Type
    /// Its dimensions, outermost first; their product times the element size fits an Int.
    public let shape: [Int]
    let handle: HDF5Handle

    /// Number of elements.
    public var count: Int { shape.reduce(1, *) }
    /// Bytes of all elements.
    public var byteCount: Int { count * type.byteCount }

    /// File offset of the elements, the user block included; nil for elements that are not in one piece inside the file.
    public var fileOffset: Int? {
        let offset = H5Dget_offset(handle.id)
        return offset == kvlab_HADDR_UNDEF() ? nil : Int(exactly: offset)
    }

    /// File offsets of the chunks of a dataset with ``HDF5Layout/checksummed(elements:)``, in order, and a chunk's elements.
    ///
    /// Nil for a dataset that is in one piece. Each chunk has all its elements, the last one's beyond the dataset's end too, as they
    /// are in memory, and four bytes of checksum behind them. libhdf5 before 1.10.11 and 1.14.2 counts from the end of the user block,
    /// later ones from the file's start.
    public func chunks() throws(HDF5Error) -> (elements: Int, offsets: [Int])? {
        let action = "read the layout of '\(name)'"
        let creation = try HDF5Handle(H5Dget_create_plist(handle.id), file: file, action: action)
        guard H5Pget_layout(creation.id) == H5D_CHUNKED else { return nil }
        func refused(_ found: String) -> HDF5Error {
            .unexpected(
                file: file, object: name, found: found, expected: "chunks of one dimension with a Fletcher-32 checksum each")
        }
        var extent: hsize_t = 0
        guard shape.count == 1, unsafe H5Pget_chunk(creation.id, 1, &extent) == 1, let elements = Int(exactly: extent),
            elements > 0
        else { throw refused("chunks of another shape") }
        var (flags, values, configuration): (UInt32, Int, UInt32) = (0, 0, 0)
        guard H5Pget_nfilters(creation.id) == 1,
            unsafe H5Pget_filter2(creation.id, 0, &flags, &values, nil, 0, nil, &configuration) == H5Z_FILTER_FLETCHER32
        else { throw refused("filtered otherwise") }
        var offsets: [Int] = []
        for first in stride(from: 0, to: shape[0], by: elements) {
            var start = [hsize_t(first)]
            var (mask, address, size): (UInt32, haddr_t, hsize_t) = (0, 0, 0)
            try check(unsafe H5Dget_chunk_info_by_coord(handle.id, &start, &mask, &address, &size), file, action)
            guard mask == 0, size == hsize_t(elements * type.byteCount + 4), let offset = Int(exactly: address) else {
                throw refused("a chunk that is absent or of another size")
            }
            offsets.append(offset)
        }
        return (elements, offsets)
    }

    /// Writes all elements from their bytes.
    public func write(_ bytes: UnsafeRawBufferPointer) throws(HDF5Error) {
        precondition(bytes.count == byteCount, "HDF5Dataset \(name): \(bytes.count) bytes for \(byteCount)")
        guard byteCount > 0 else { return }
        let memory = try type.make(file)
        let status = unsafe H5Dwrite(
            handle.id, memory.id, hid_t(H5S_ALL), hid_t(H5S_ALL), hid_t(H5P_DEFAULT), bytes.baseAddress)
        try check(status, file, "write '\(name)'")
    }

    /// Writes all elements from their bytes.
    public func write(_ bytes: [UInt8]) throws(HDF5Error) {
        let result: Result<Void, HDF5Error> = unsafe bytes.withUnsafeBytes { buffer in
            do throws(HDF5Error) { return .success(try unsafe write(buffer)) } catch { return .failure(error) }
        }
        try result.get()
    }
}

/// A dataset's storage layout in the file.
public enum HDF5Layout: Sendable, Hashable {
    /// In one piece, allocated when the dataset is created and not filled: for writers at ``HDF5Dataset/fileOffset``.
    case contiguous
    /// In pieces of up to `elements` elements, each with a Fletcher-32 checksum; one dimension only.
    case checksummed(elements: Int)
}

extension HDF5File {
    /// Creates a dataset; its group must exist. The elements are undefined until written.
    public func createDataset(
        _ name: String, type: HDF5Type, shape: [Int], layout: HDF5Layout = .contiguous
    ) throws(HDF5Error) -> HDF5Dataset {
        let action = "create '\(name)'"
        let dimensions = shape.map { hsize_t($0) }
        let space =
            shape.isEmpty
            ? try HDF5Handle(H5Screate(H5S_SCALAR), file: path, action: action)
            : try HDF5Handle(unsafe H5Screate_simple(Int32(shape.count), dimensions, nil), file: path, action: action)
        let creation = try HDF5Handle(H5Pcreate(kvlab_H5P_DATASET_CREATE()), file: path, action: action)
        try check(H5Pset_obj_track_times(creation.id, false), path, action)
        try check(H5Pset_fill_time(creation.id, H5D_FILL_TIME_NEVER), path, action)
        if case .checksummed(let elements) = layout, shape.count == 1, shape[0] > 0 {
            let chunk = [hsize_t(min(elements, shape[0]))]
            try check(unsafe H5Pset_chunk(creation.id, 1, chunk), path, action)
            try check(H5Pset_fletcher32(creation.id), path, action)
        } else {
            try check(H5Pset_layout(creation.id, H5D_CONTIGUOUS), path, action)
            try check(H5Pset_alloc_time(creation.id, H5D_ALLOC_TIME_EARLY), path, action)
        }
        let elementType = try type.make(path)
        let id = unsafe H5Dcreate2(
            handle.id, name, elementType.id, space.id, hid_t(H5P_DEFAULT), creation.id, hid_t(H5P_DEFAULT))
        let dataset = try HDF5Handle(id, file: path, action: action)
        return HDF5Dataset(file: path, name: name, type: type, shape: shape, handle: dataset)
    }

    /// Opens a dataset, having checked that its data is in this file, its type one of ours and its size no more than `byteLimit`.
    public func openDataset(_ name: String, byteLimit: Int = .max) throws(HDF5Error) -> HDF5Dataset {
        guard contains(name) else { throw .missing(file: path, object: name) }
        let opened = unsafe H5Oopen(handle.id, name, hid_t(H5P_DEFAULT))
        let dataset = try HDF5Handle(opened, file: path, action: "open '\(name)'")
        guard H5Iget_type(dataset.id) == H5I_DATASET else {
            throw .unexpected(file: path, object: name, found: "no dataset", expected: "a dataset")
        }
        let creation = try HDF5Handle(H5Dget_create_plist(dataset.id), file: path, action: "read the layout of '\(name)'")
        guard H5Pget_external_count(creation.id) == 0, H5Pget_layout(creation.id) != H5D_VIRTUAL else {
            throw .unexpected(file: path, object: name, found: "kept in other files", expected: "data of its own")
        }
        let elementType = try HDF5Handle(H5Dget_type(dataset.id), file: path, action: "read the type of '\(name)'")
        guard let type = try HDF5Type.matching(elementType.id, file: path) else {
            throw .unexpected(
                file: path, object: name, found: "of another element type",
                expected: HDF5Type.allCases.map(\.rawValue).joined(separator: ", "))
        }
        let space = try HDF5Handle(H5Dget_space(dataset.id), file: path, action: "read the shape of '\(name)'")
        let rank = H5Sget_simple_extent_ndims(space.id)
        guard rank >= 0, rank <= 32 else { throw .library(path, "read the shape of '\(name)'") }
        var dimensions = [hsize_t](repeating: 0, count: Int(rank))
        if rank > 0 {
            try check(
                unsafe H5Sget_simple_extent_dims(space.id, &dimensions, nil), path, "read the shape of '\(name)'")
        }
        var bytes = type.byteCount
        for dimension in dimensions {
            let (product, overflow) = bytes.multipliedReportingOverflow(by: Int(exactly: dimension) ?? .max)
            guard !overflow, product <= byteLimit else {
                throw .unexpected(
                    file: path, object: name, found: "\(dimensions) \(type.rawValue)",
                    expected: "at most \(byteLimit) bytes, the file's own size")
            }
            bytes = product
        }
        return HDF5Dataset(file: path, name: name, type: type, shape: dimensions.map(Int.init), handle: dataset)
    }
}
