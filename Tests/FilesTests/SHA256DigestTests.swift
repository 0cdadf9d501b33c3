import TestSupport
import Testing

import Files

@Suite struct SHA256DigestTests {
    // FIPS 180-2, appendix B.1.
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    @Test func `the standard's example has its digest, whole or in pieces`() {
        #expect(SHA256Digest(of: "abc").hex == abc)
        var hasher = SHA256Digest.Hasher()
        hasher.update([0x61])
        hasher.update([])
        hasher.update([0x62, 0x63])
        #expect(hasher.finalize().hex == abc)
    }

    @Test func `a digest is read back from its 32 bytes and from no other count`() {
        #expect(SHA256Digest(bytes: SHA256Digest(of: "abc").bytes) == SHA256Digest(of: "abc"))
        #expect(SHA256Digest(bytes: [1, 2, 3]) == nil)
    }

    @Test func `a mapped file has the digest of its bytes`() throws {
        let scratch = ScratchDirectory()
        try AtomicFile.write(Array("abc".utf8), to: scratch["a"])
        #expect(SHA256Digest(of: try MappedFile(path: scratch["a"])).hex == abc)
    }
}
