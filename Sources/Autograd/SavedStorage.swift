import Kernels
import Synchronization

/// An activation saved for the pullback, which runs once and may overwrite it.
final class SavedStorage: Sendable {
    private let kept: Mutex<Storage?>

    init(_ storage: Storage) { kept = Mutex(storage) }

    /// The saved storage and the destination of a gradient of its size: the storage itself if it is uniquely referenced. May be
    /// called once.
    func take() -> (value: Storage, gradient: Storage) {
        guard var storage = kept.withLock({ $0.take() }) else {
            preconditionFailure("a pullback ran twice")
        }
        if isKnownUniquelyReferenced(&storage) { return (storage, storage) }
        return (storage, Storage(count: storage.count))
    }
}
