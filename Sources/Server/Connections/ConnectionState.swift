/// The state machine of one HTTP/1 connection, without I/O: events in, actions out.
///
/// Requests may be pipelined, answers come in their order, and an answer may end before its request's body has. Three things
/// move independently of each other and are kept apart here: the requests that wait for an answer, the request that is being
/// read, and the answer that is being written.
///
///     reading:    nothing ──head──▶ unanswered ──its answer ends──▶ answered
///                    ▲                  │ end, error                  │ end, error
///                    └──────────────────┴─────────────────────────────┘
///     phase:      open ──last answer begins to end──▶ flushing ──flushed──▶ lingering ──deadline──▶ closed
///
/// **A client that leaves.** A closed connection and one whose client only closed its sending half look alike at first: both
/// deliver the end of input. A harmless probe tells them apart: `100 Continue` before an answer, a comment in a stream of events.
/// A client that has left answers the probe with a reset, which closes the connection and cancels its request. HTTP/1.0 has no
/// `100 Continue`: there the end of input before the answer to a POST, which may cost hours of work, counts as leaving, as
/// proxies mean it; other methods are answered.
struct ConnectionState: Hashable {
    /// A request's head, as far as the connection depends on it.
    struct Head: Hashable {
        /// HTTP/1.0 or older.
        var isOld = false
        var keepsAlive = true
        var isPost = false
        var isHealth = false
        /// `Expect: 100-continue`.
        var expectsContinue = false
    }

    /// The reason that the connection itself refuses further input, without a route.
    enum Refusal: Hashable {
        case invalid, headersTooLarge, headersTooLate, busy
    }

    /// The consequence of an event.
    enum Action: Hashable {
        /// The event goes on through the pipeline.
        case pass
        /// `100 Continue` is written.
        case proceed
        /// A comment is written into the stream of events.
        case comment
        /// The answer that ends now is the last one; ``flushed()`` follows once it is written.
        case finish
        /// An error answer is written as the last one; ``flushed()`` follows.
        case refuse(Refusal)
        /// The output is closed without an answer; ``flushed()`` follows.
        case endOutput
        /// The connection is closed.
        case close
        /// A write is dropped behind the last answer, whose own bytes may still be on their way.
        case drop
        /// A write fails, as the connection is closed.
        case fail
    }

    /// A part of an exchange for which the client has a limited time.
    enum Deadline: Hashable {
        /// Sending a request's head.
        case head
        /// Sending the rest of a body whose request has been answered.
        case body
        /// Reading some of the answer's bytes that wait to be written.
        case reading
        /// Reading some of the last answer's bytes.
        case flush
        /// Closing its side once it has the last answer: closed by the server at once, the connection might be reset before.
        case linger
    }

    private struct Request: Hashable {
        /// Whether the connection ends with the request's answer.
        var closes: Bool
        let isOld: Bool
        let isPost: Bool
    }

    private enum Reading: Hashable { case nothing, unanswered, answered }
    private enum Answer: Hashable { case none, begun, events }
    private enum Phase: Hashable { case open, flushing, lingering, closed }

    /// Requests without a complete answer, the oldest first.
    private var requests: [Request] = []
    private var reading = Reading.nothing
    private var answer = Answer.none
    private var phase = Phase.open
    private var inputEnded = false
    /// Whether the input can no longer be understood, or is not wanted any more.
    private var isBroken = false
    private var isWritable = true
    /// Whether bytes of a request's head have come, and whether the first head is still to come.
    private var hasBytes = false
    private var isFresh = true
    /// Whether only `/health` is answered, as all other connections are taken.
    private let isReserved: Bool

    /// A connection that has just been accepted; a reserved one serves `/health` alone.
    init(isReserved: Bool = false) { self.isReserved = isReserved }

    /// Whether no request is read or answered: the connection can be closed without loss.
    var isIdle: Bool { phase == .open && requests.isEmpty && reading == .nothing }

    /// The deadline that runs now; nil where the connection waits for the server alone, or idles between two requests.
    var deadline: Deadline? {
        switch phase {
        case .closed: return nil
        case .lingering: return .linger
        case .flushing: return .flush
        case .open: break
        }
        if !isWritable { return .reading }
        if reading == .answered { return .body }
        return isIdle && (isFresh || hasBytes) ? .head : nil
    }

    /// Bytes have come in, not decoded yet.
    mutating func bytesRead() { if reading == .nothing { hasBytes = true } }

    /// A request's head was decoded.
    mutating func headRead(_ head: Head) -> [Action] {
        guard phase == .open, !isBroken else { return [] }
        (hasBytes, isFresh) = (false, false)
        guard requests.last?.closes != true else {
            // Nothing behind a request that ends the connection is answered.
            isBroken = true
            return []
        }
        if isReserved, !head.isHealth {
            isBroken = true
            guard let last = requests.indices.last else { return refuse(.busy) }
            requests[last].closes = true
            return []
        }
        requests.append(Request(closes: head.isOld || !head.keepsAlive, isOld: head.isOld, isPost: head.isPost))
        reading = .unanswered
        // A client that asks first sends its body only then. With answers outstanding it would take this for part of one.
        return head.expectsContinue && !head.isOld && requests.count == 1 ? [.proceed, .pass] : [.pass]
    }

    /// A part of a body was decoded.
    func bodyRead() -> [Action] { phase == .open && !isBroken ? [.pass] : [] }

    /// A request's end was decoded.
    mutating func endRead() -> [Action] {
        guard phase == .open, !isBroken else { return [] }
        reading = .nothing
        return [.pass]
    }

    /// An answer's head is to be written; `closes` where it says so itself. A 1xx head is not one.
    mutating func headWritten(closes: Bool, isEvents: Bool) -> [Action] {
        guard phase == .open else { return late }
        if closes, !requests.isEmpty { requests[0].closes = true }
        answer = isEvents ? .events : .begun
        return [.pass]
    }

    /// Whether the answer being written is the connection's last one.
    var answerCloses: Bool { requests.first?.closes ?? true }
    /// Whether the answer being written is one to HTTP/1.0.
    var answerIsOld: Bool { requests.first?.isOld ?? false }

    /// A part of an answer's body is to be written.
    func partWritten() -> [Action] { phase == .open ? [.pass] : late }

    private var late: [Action] { phase == .closed ? [.fail] : [.drop] }

    /// An answer's end is to be written.
    mutating func endWritten() -> [Action] {
        guard phase == .open else { return late }
        answer = .none
        // An answer to no request: the refusal of input that is none.
        guard !requests.isEmpty else { return finish() }
        let closes = requests.removeFirst().closes
        if reading == .unanswered, requests.isEmpty { reading = .answered }
        let isLast = requests.isEmpty && (inputEnded || isBroken)
        return closes || isLast ? finish() : [.pass]
    }

    private mutating func finish() -> [Action] {
        phase = .flushing
        return [.finish]
    }

    private mutating func refuse(_ refusal: Refusal) -> [Action] {
        phase = .flushing
        return [.refuse(refusal)]
    }

    /// The last answer has left, or could not.
    mutating func flushed() { if phase == .flushing { phase = .lingering } }

    /// The client sends nothing more.
    mutating func inputClosed() -> [Action] {
        inputEnded = true
        guard phase == .open else { return close() }
        guard let first = requests.first, reading == .nothing, !isBroken else {
            return reading == .answered ? close() : [.pass]
        }
        switch answer {
        case .none where first.isOld: return first.isPost ? close() : []
        case .none: return [.proceed]
        case .events: return [.comment]
        case .begun: return []
        }
    }

    /// The decoder cannot go on with the input.
    mutating func inputFailed(_ refusal: Refusal) -> [Action] {
        guard phase == .open, !isBroken else { return [] }
        isBroken = true
        defer { reading = .nothing }
        switch (reading, requests.indices.last) {
        case (.unanswered, let last?):
            // The reader of the body is told, and answers.
            requests[last].closes = true
            return [.pass]
        case (.answered, _):
            phase = .flushing
            return [.endOutput]
        case (_, let last?):
            // Earlier requests get their answers first.
            requests[last].closes = true
            return []
        case (_, nil): return refuse(refusal)
        }
    }

    /// The output's buffer is full, or has room again.
    mutating func writabilityChanged(_ isWritable: Bool) { self.isWritable = isWritable }

    /// The ``deadline`` has passed.
    mutating func deadlinePassed() -> [Action] {
        guard deadline == .head, hasBytes, !isBroken else { return close() }
        isBroken = true
        return refuse(.headersTooLate)
    }

    private mutating func close() -> [Action] {
        phase = .closed
        return [.close]
    }

    /// The connection is closed.
    mutating func closed() { phase = .closed }
}
