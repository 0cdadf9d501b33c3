import Hummingbird
import Inference
import JSON

extension Route {
    /// One prompt, or a chat's next message, to several models, see ``ServerState/play(_:_:)``.
    static let play = post("/v1/kvlab/play") { server, fields, context in
        let tenant = context.caller.tenant
        let play = try await LongWork.render { try PlayRequest(fields, server: server, tenant: tenant) }
        for item in play.items { try context.record.held?.take(Holdings.Amounts(tokens: item.heldTokens)) }
        return try await server.play(play, context)
    }
}

extension ServerState {
    /// Intervals between frames, and between frames that show the pool.
    private static let frameInterval = Duration.milliseconds(40)
    private static let poolInterval = Duration.milliseconds(250)

    /// POST /v1/kvlab/play: one prompt to several models at once, or a chat of each, and the pool meanwhile, over one connection.
    ///
    /// A browser opens six connections to a host at most: with a stream for each output, the seventh would wait, and the pool's
    /// picture with it. Events are frames, twenty-five a second however fast the tokens come:
    ///
    ///     {"models": [{"model": "mha", "request": 7, "prompt_tokens": 12}, {"model": "mqa", "error": {…}}]}     the first
    ///     {"outputs": [{"model": 0, "output": 1, "tokens": 5, "seconds": 0.04, "cache_bytes": 8192, "text": " time",
    ///                   "finish_reason": null}], "pool": {…}}                     what has changed, `model` as a place in `models`
    ///     {"error": {…}}                                                            where it breaks off
    ///
    /// `request` is the number that the pool's `sequences` have; `seconds` are those from an output's first token to its last;
    /// `pool` is what /v1/kvlab/pool gives, in some of the frames and in the last one. A model that refuses the prompt says so while
    /// the others run; where all refuse it, the answer is the first one's error.
    fileprivate func play(_ play: PlayRequest, _ context: ServerContext) async throws -> Response {
        var running: [Generation] = []
        // Each running generation's place among the models.
        var places: [Int] = []
        var parts: [JSONValue] = []
        var refusal: APIError?
        for (place, item) in play.items.enumerated() {
            let name = JSONValue.text(models[item.request.model].id)
            do throws(APIError) {
                let generations = try await runner.submit([item.request])
                for generation in generations {
                    parts.append(
                        .object([
                            "model": name, "request": .int(generation.id), "prompt_tokens": .int(item.request.prompt.count),
                        ]))
                    running.append(generation)
                    places.append(place)
                }
            } catch {
                refusal = refusal ?? error
                parts.append(.object(["model": name, "error": error.json["error"] ?? .null]))
            }
        }
        if running.isEmpty, let refusal { throw refusal }
        let names = play.items.map { models[$0.request.model].id }.joined(separator: ",")
        let tokens = play.items.reduce(0) { $0 + $1.request.prompt.count }
        context.record.update { ($0.model, $0.promptTokens, $0.isStream) = (names, tokens, true) }
        return stream(play, running, places, .object(["models": .array(parts)]), context)
    }

    private func stream(
        _ play: PlayRequest, _ running: [Generation], _ places: [Int], _ head: JSONValue,
        _ context: ServerContext
    ) -> Response {
        let board = board(for: play)
        return Response(
            status: .ok,
            headers: [.contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-cache", .connection: "close"],
            body: ResponseBody { writer in
                // A client that leaves ends the work, and with it the frames.
                let work = Task { await fill(board, running, places.map { ($0, play.items[$0].request) }, context) }
                defer { work.cancel() }
                try await writer.send(head)
                var due = ContinuousClock.now
                while true {
                    let frame = board.takeFrame()
                    var members: [JSONValue.Member] = []
                    if !frame.outputs.isEmpty {
                        members.append(JSONValue.Member("outputs", .array(frame.outputs)))
                    }
                    if frame.isLast || due <= .now {
                        due = .now + Self.poolInterval
                        members.append(JSONValue.Member("pool", await pool(for: context.caller)))
                    }
                    if !members.isEmpty { try await writer.send(JSONValue.object(members)) }
                    if let error = frame.error { try await writer.send(error.json) }
                    if frame.isLast { break }
                    try await Task.sleep(for: Self.frameInterval)
                }
                try await writer.send("[DONE]")
                try await writer.finish(nil)
            })
    }

    private func board(for play: PlayRequest) -> PlayBoard {
        let geometry = play.items.map { engine.models[$0.request.model].model.config.kvGeometry(engine.options.encoding) }
        let prompts = play.items.map(\.request.prompt.count)
        return PlayBoard(counts: play.items.map(\.request.count)) { place, tokens in
            // The last token's keys and values are computed with the next one.
            geometry[place].reduce(0) { $0 + $1.bytes(tokens: prompts[place] + max(0, tokens - 1)) }
        }
    }

    /// Brings the outputs to the board until the last has finished; `items` are the place and the request of each generation.
    private func fill(
        _ board: PlayBoard, _ running: [Generation], _ items: [(place: Int, request: GenerationRequest)], _ context: ServerContext
    ) async {
        do {
            try await runner.run(running, for: context.channel) { events in
                var clocks = items.map { TokenClock(metrics, context.record, model: models[$0.request.model].id) }
                var reasons = running.map { _ in [FinishReason]() }
                for try await (index, event) in events {
                    switch event {
                    case .prompt(_, let cached, let queued, _):
                        clocks[index].prompt(tokens: items[index].request.prompt.count, cached: cached, queued: queued)
                    case .token(let output, _, _): clocks[index].token(prompt: 0, output: output)
                    case .finished(_, let reason, _): reasons[index].append(reason)
                    }
                    board.take(items[index].place, event)
                }
                for (clock, reasons) in zip(clocks, reasons) { clock.finished(reasons) }
            }
            board.end()
        } catch let error as APIError {
            board.end(error)
        } catch {
            board.end()
        }
    }
}
