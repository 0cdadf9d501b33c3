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
