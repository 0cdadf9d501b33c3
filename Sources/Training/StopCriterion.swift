/// Early stopping: ends a run at a held-out loss, before its last step.
public struct StopCriterion: Sendable, Hashable {
    /// The held-out loss in nats per token at which the run ends.
    public var loss: Double
    /// Steps between evaluations of that loss.
    public var every: Int

    /// Early stopping at a held-out loss of `loss`, evaluated every `every` steps.
    public init(loss: Double, every: Int) {
        precondition(every > 0, "StopCriterion: every \(every) steps")
        self.loss = loss
        self.every = every
    }
}
