import Foundation

/// Real checkpoints and texts outside the repository, for tests that compare with reference figures.
///
/// They are in the folder that the environment variable KVLAB_TEST_DATA names, by default `../shared/data` beside the
/// package. Where it is absent, tests are skipped: `@Test(.enabled(if: SharedData.isPresent, SharedData.skipped))`.
public enum SharedData {
    /// Why a test that needs the data did not run.
    public static let skipped = "the shared test data is not on this machine; KVLAB_TEST_DATA names its folder"

    /// The folder.
    public static let root: String = {
        if let path = ProcessInfo.processInfo.environment["KVLAB_TEST_DATA"], !path.isEmpty { return path }
        // Tests/TestSupport/SharedData.swift → the package → beside it.
        return URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("shared/data").path
    }()

    /// Whether the folder is there.
    public static var isPresent: Bool { FileManager.default.fileExists(atPath: root + "/reference.json") }

    /// The path of a file in it, such as `models/stories260K/config.json`.
    public static func path(_ relative: String) -> String { root + "/" + relative }
}
