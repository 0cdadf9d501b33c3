/// A tier: a place for the pages of preempted sequences outside the pool.
public protocol KVTier: Sendable {
    /// Stores the bytes of pages, in order; throws ``InferenceError`` where the tier rejects them.
    ///
    /// - Parameter pageBytes: bytes of each page.
    func store(_ pages: some Collection<[UInt8]>, pageBytes: Int) throws(InferenceError) -> any TieredPages
}

/// The pages of one sequence in a tier, freed there with the object.
public protocol TieredPages: AnyObject, Sendable {
    /// The bytes of page `index`, counted from 0 in the order of storing; throws ``InferenceError`` where they are lost.
    func page(_ index: Int) throws(InferenceError) -> [UInt8]
}
