// HDF5's names that are macros, as functions: Swift imports only the plainest macros.
#include <hdf5.h>

static inline unsigned kvlab_H5F_ACC_RDONLY(void) { return H5F_ACC_RDONLY; }
static inline unsigned kvlab_H5F_ACC_TRUNC(void) { return H5F_ACC_TRUNC; }
static inline hid_t kvlab_H5P_FILE_CREATE(void) { return H5P_FILE_CREATE; }
static inline hid_t kvlab_H5P_FILE_ACCESS(void) { return H5P_FILE_ACCESS; }
static inline hid_t kvlab_H5P_GROUP_CREATE(void) { return H5P_GROUP_CREATE; }
static inline hid_t kvlab_H5P_DATASET_CREATE(void) { return H5P_DATASET_CREATE; }
static inline hid_t kvlab_H5T_IEEE_F32LE(void) { return H5T_IEEE_F32LE; }
static inline hid_t kvlab_H5T_STD_U8LE(void) { return H5T_STD_U8LE; }
static inline hid_t kvlab_H5T_STD_I64LE(void) { return H5T_STD_I64LE; }
static inline hid_t kvlab_H5T_NATIVE_INT64(void) { return H5T_NATIVE_INT64; }
static inline hid_t kvlab_H5T_C_S1(void) { return H5T_C_S1; }
static inline size_t kvlab_H5T_VARIABLE(void) { return H5T_VARIABLE; }
static inline haddr_t kvlab_HADDR_UNDEF(void) { return HADDR_UNDEF; }
static inline hid_t kvlab_H5E_DEFAULT(void) { return H5E_DEFAULT; }

// A file in memory: the library reads the caller's own bytes in place of a copy, and never writes or frees them.
static void *kvlab_image(size_t size, H5FD_file_image_op_t op, void *image) {
    (void)size, (void)op;
    return image;
}
static void *kvlab_image_copy(void *to, const void *from, size_t size, H5FD_file_image_op_t op, void *image) {
    (void)from, (void)size, (void)op, (void)image;
    return to;
}
static void *kvlab_image_resize(void *at, size_t size, H5FD_file_image_op_t op, void *image) {
    (void)at, (void)size, (void)op, (void)image;
    return NULL;
}
static herr_t kvlab_image_free(void *at, H5FD_file_image_op_t op, void *image) {
    (void)at, (void)op, (void)image;
    return 0;
}
static void *kvlab_image_same(void *image) { return image; }
static herr_t kvlab_image_keep(void *image) {
    (void)image;
    return 0;
}
static inline herr_t kvlab_set_image(hid_t access, const void *image, size_t size) {
    H5FD_file_image_callbacks_t callbacks = {kvlab_image,      kvlab_image_copy, kvlab_image_resize, kvlab_image_free,
                                             kvlab_image_same, kvlab_image_keep, (void *)image};
    // Nothing on the disk stands behind it.
    if (H5Pset_fapl_core(access, 1 << 16, 0) < 0 || H5Pset_file_image_callbacks(access, &callbacks) < 0) return -1;
    return H5Pset_file_image(access, (void *)image, size);
}
