import Kernels
import Synchronization

/// What an op keeps of its input for its pullback, which runs once and may write over it.
final class SavedStorage: Sendable {
    private let kept: Mutex<Storage?>

    init(_ storage: Storage) { kept = Mutex(storage) }

    /// The storage, and where a gradient of its size goes: into the storage itself where nothing else refers to it. Gives it
    /// out once.
    func take() -> (value: Storage, gradient: Storage) {
        guard var storage = kept.withLock({ kept in exchange(&kept, with: nil) }) else {
            preconditionFailure("a pullback ran twice")
        }
        if isKnownUniquelyReferenced(&storage) { return (storage, storage) }
        return (storage, Storage(count: storage.count))
    }

    private func exchange(_ value: inout Storage?, with new: Storage?) -> Storage? {
        defer { value = new }
        return value
    }
}
