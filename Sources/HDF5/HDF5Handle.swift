import CHDF5

/// Owns one of the library's identifiers of any kind, and releases it once.
struct HDF5Handle: ~Copyable {
    let id: hid_t

    /// Takes over `id`; a negative one means the call that made it failed.
    init(_ id: hid_t, file: String, action: @autoclosure () -> String) throws(HDF5Error) {
        guard id >= 0 else { throw .library(file, action()) }
        self.id = id
    }

    deinit { H5Idec_ref(id) }
}

/// Prepares the library for this thread: errors are thrown, so it need not print them, and no plug-ins are loaded on
/// a file's say-so.
func prepareHDF5() {
    // Without this a file whose last write failed is written again, and loops, when the process exits.
    H5dont_atexit()
    H5Eset_auto2(kvlab_H5E_DEFAULT(), nil, nil)
    H5PLset_loading_state(0)
}

func check(_ status: herr_t, _ file: String, _ action: @autoclosure () -> String) throws(HDF5Error) {
    guard status >= 0 else { throw .library(file, action()) }
}
