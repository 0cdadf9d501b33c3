/// Ends a run before its last step, as soon as it is good enough.
public struct StopCriterion: Sendable, Hashable {
    /// The held-out loss in nats per token that ends the run when it is reached.
    public var loss: Double
    /// Steps between looks at it.
    public var every: Int

    /// Ends a run at a held-out loss of `loss`, looked at every `every` steps.
    public init(loss: Double, every: Int) {
        precondition(every > 0, "StopCriterion: every \(every) steps")
        self.loss = loss
        self.every = every
    }
}
