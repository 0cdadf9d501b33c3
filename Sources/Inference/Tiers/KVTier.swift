/// A place for pages outside the pool: where preempted sequences' keys and values wait to be resumed.
public protocol KVTier: Sendable {
    /// Stores the bytes of pages, in order; throws ``InferenceError`` where the tier refuses them.
    ///
    /// - Parameter pageBytes: bytes of each page.
    func store(_ pages: some Collection<[UInt8]>, pageBytes: Int) throws(InferenceError) -> any TieredPages
}

/// One sequence's pages in a tier, freed there when the object goes.
public protocol TieredPages: AnyObject, Sendable {
    /// The bytes of page `index`, counted from 0 in the order of storing; throws ``InferenceError`` where they are lost.
    func page(_ index: Int) throws(InferenceError) -> [UInt8]
}
