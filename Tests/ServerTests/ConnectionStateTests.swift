import Testing

@testable import Server

/// The connection's state machine over every order of events: its reachable states, with the world around it, are finite and all
/// visited.
@Suite struct ConnectionStateTests {
    /// The connection between a client, a decoder and a server that behave as theirs do, and nothing else.
    private struct World: Hashable {
        var state: ConnectionState
        /// Requests that the server knows and has not answered, at most three at once, and whether the oldest one's answer began.
        var unanswered = 0
        var answerBegan = false
        /// Whether the decoder is inside a request's body.
        var isInBody = false
        /// Whether the decoder has failed, and whether it has seen the end of input.
        var decoderFailed = false
        var inputEnded = false
        /// Whether the last answer is being written, was written, and whether the connection was told to close.
        var isEnding = false
        var isFlushed = false
        var isClosed = false
        /// Whether the server knows that nothing more comes.
        var knowsEnd = false
        /// Whether bytes of a head have come that are no whole head yet.
        var hasPartialHead = false
        var hadHead = false
        var isUnwritable = false
    }

    private enum Event: Hashable, CaseIterable {
        case bytes, get, post, old, closing, health, expecting, body, end, failure, inputClosed
        case answerHead, answerClosing, events, answerPart, answerEnd
        case full, room, deadline, flushed
    }

    private static func head(_ event: Event) -> ConnectionState.Head? {
        var head = ConnectionState.Head()
        switch event {
        case .get: break
        case .post: head.isPost = true
        case .old: (head.isOld, head.isPost) = (true, true)
        case .closing: head.keepsAlive = false
        case .health: head.isHealth = true
        case .expecting: (head.isPost, head.expectsContinue) = (true, true)
        default: return nil
        }
        return head
    }

    /// Whether the event can come in this world.
    private static func isPossible(_ event: Event, _ world: World) -> Bool {
        let decodes = !world.decoderFailed && !world.inputEnded && !world.isClosed
        switch event {
        case .bytes: return decodes && !world.isInBody
        case .get, .post, .old, .closing, .health, .expecting:
            return decodes && !world.isInBody && world.hasPartialHead && world.unanswered < 3
        case .body, .end: return decodes && world.isInBody
        case .failure: return decodes
        case .inputClosed: return !world.inputEnded && !world.isClosed
        case .answerHead, .answerClosing, .events: return world.unanswered > 0 && !world.answerBegan
        case .answerPart, .answerEnd: return world.unanswered > 0 && world.answerBegan
        case .full: return !world.isUnwritable && !world.isClosed
        case .room: return world.isUnwritable && !world.isClosed
        case .deadline: return world.state.deadline != nil
        case .flushed: return world.isEnding && !world.isFlushed
        }
    }

    /// The world after an event; records what must never be.
    private static func step(_ event: Event, _ before: World) -> (World, [String]) {
        var world = before
        var wrong: [String] = []
        let actions: [ConnectionState.Action]
        switch event {
        case .bytes:
            world.hasPartialHead = true
            world.state.bytesRead()
            actions = []
        case .get, .post, .old, .closing, .health, .expecting:
            (world.isInBody, world.hasPartialHead, world.hadHead) = (true, false, true)
            actions = world.state.headRead(head(event) ?? ConnectionState.Head())
            if actions.contains(.pass) { world.unanswered += 1 }
        case .body: actions = world.state.bodyRead()
        case .end:
            world.isInBody = false
            actions = world.state.endRead()
        case .failure:
            world.decoderFailed = true
            actions = world.state.inputFailed(.invalid)
            if actions.contains(.pass) { world.knowsEnd = true }
        case .inputClosed:
            world.inputEnded = true
            actions = world.state.inputClosed()
            if actions.contains(.pass) { world.knowsEnd = true }
        case .answerHead, .answerClosing, .events:
            world.answerBegan = true
            actions = world.state.headWritten(closes: event == .answerClosing, isEvents: event == .events)
        case .answerPart: actions = world.state.partWritten()
        case .answerEnd:
            world.unanswered -= 1
            world.answerBegan = false
            actions = world.state.endWritten()
        case .full, .room:
            world.isUnwritable = event == .full
            world.state.writabilityChanged(event == .room)
            actions = []
        case .deadline: actions = world.state.deadlinePassed()
        case .flushed:
            world.isFlushed = true
            world.state.flushed()
            actions = []
        }
        func isEnd(_ action: ConnectionState.Action) -> Bool {
            switch action {
            case .finish, .refuse, .endOutput: true
            default: false
            }
        }
        if before.isClosed, actions.contains(where: { $0 != .fail && $0 != .close }) {
            wrong.append("acts when closed: \(actions)")
        }
        if before.isEnding, actions.contains(.pass), event != .inputClosed { wrong.append("passes on behind the last answer") }
        if before.isEnding, actions.contains(where: isEnd) { wrong.append("ends twice") }
        if event == .answerEnd, !before.isEnding, !before.isClosed, !actions.contains(.pass), !actions.contains(.finish) {
            wrong.append("loses an answer: \(actions)")
        }
        if actions.contains(.proceed), before.unanswered > (event == .inputClosed ? 3 : 0) {
            wrong.append("writes 100 Continue before an earlier answer")
        }
        if actions.contains(where: { if case .refuse = $0 { true } else { false } }), world.unanswered > 0 {
            wrong.append("refuses before requests have their answers")
        }
        if actions.contains(.comment), !(before.answerBegan && before.unanswered > 0) {
            wrong.append("a comment outside a stream")
        }
        if actions.contains(where: isEnd) { world.isEnding = true }
        if actions.contains(.close) { world.isClosed = true }
        return (world, wrong)
    }

    /// What must hold in every state.
    private static func complaint(_ world: World) -> String? {
        guard !world.isClosed else { return nil }
        let waitsForClient = world.isEnding || world.isUnwritable || world.unanswered == 0
        let idlesBetweenRequests = world.hadHead && !world.hasPartialHead && !world.isInBody
        if waitsForClient, !world.knowsEnd, !(idlesBetweenRequests && !world.isEnding && !world.isUnwritable),
            world.state.deadline == nil, !(world.inputEnded && world.unanswered == 0)
        {
            return "waits for the client without a deadline"
        }
        if world.decoderFailed, world.unanswered == 0, !world.isEnding { return "goes on after input it cannot read" }
        if world.inputEnded, world.unanswered == 0, !world.isEnding, !world.knowsEnd { return "stays open for nobody" }
        if world.state.isIdle, world.unanswered > 0 { return "is idle with requests at work" }
        return nil
    }

    @Test(arguments: [false, true]) func `no order of events traps, hangs or loses an answer`(isReserved: Bool) {
        var seen: Set<World> = []
        var open = [(World(state: ConnectionState(isReserved: isReserved)), [Event]())]
        seen.insert(open[0].0)
        var failures = 0
        while let (world, path) = open.popLast(), failures < 5 {
            for event in Event.allCases where Self.isPossible(event, world) {
                let (next, wrong) = Self.step(event, world)
                let problems = wrong + [Self.complaint(next)].compactMap { $0 }
                if !problems.isEmpty {
                    failures += 1
                    Issue.record("\(problems) after \(path + [event])")
                }
                if seen.insert(next).inserted { open.append((next, path + [event])) }
            }
        }
        #expect(seen.count > 1000, "\(seen.count) states")
    }

    @Test func `an answer before its request's end leaves the rest of the body a deadline and the connection open`() {
        var state = ConnectionState()
        state.bytesRead()
        #expect(state.headRead(ConnectionState.Head()) == [.pass])
        #expect(state.headWritten(closes: false, isEvents: false) == [.pass] && state.endWritten() == [.pass])
        #expect(state.deadline == .body && !state.isIdle)
        #expect(state.bodyRead() == [.pass] && state.endRead() == [.pass])
        #expect(state.deadline == nil && state.isIdle)
        // And a client that breaks off there ends the connection, without an answer to nothing.
        #expect(state.headRead(ConnectionState.Head()) == [.pass])
        _ = state.headWritten(closes: false, isEvents: false)
        #expect(state.endWritten() == [.pass] && state.inputFailed(.invalid) == [.endOutput])
    }

    @Test func `a head has a deadline from the connection's start, and from its first byte later`() {
        var state = ConnectionState()
        #expect(state.deadline == .head)
        state.bytesRead()
        _ = state.headRead(ConnectionState.Head())
        _ = state.endRead()
        #expect(state.deadline == nil)
        _ = state.headWritten(closes: false, isEvents: false)
        _ = state.endWritten()
        #expect(state.deadline == nil && state.isIdle)
        state.bytesRead()
        #expect(state.deadline == .head && state.deadlinePassed() == [.refuse(.headersTooLate)])
        var silent = ConnectionState()
        #expect(silent.deadlinePassed() == [.close])
    }
}
