import Checkpoints
import Foundation
import FoundationNetworking
import Inference
import JSON
import Kernels
import Logging
import Models
import TestSupport
import Testing
import Text

@testable import Server

/// A server on a port of its own, over two tiny models, stopped when the fixture is let go of.
final class ServerFixture: Sendable {
    let engine: Engine
    let models: [ServedModel]
    let port: Int
    private let task: Task<Void, any Error>

    convenience init(
        maxSequence: Int = 256, chatFormat: ChatFormat = .named(.plain),
        _ change: (inout ServerOptions, inout EngineOptions) -> Void = { _, _ in }
    ) async throws {
        let tokenizer = ByteTokenizer()
        var engineModels: [EngineModel] = []
        var served: [ServedModel] = []
        for (index, kvHeads) in [4, 1].enumerated() {
            let config = TinyModel.config(
                vocabulary: tokenizer.vocabularySize, kvHeads: kvHeads, headDim: 16, maxSequence: maxSequence)
            let parameters = TinyModel.parameters(config, seed: UInt64(index + 1))
            let name = ["mha", "mqa"][index]
            engineModels.append(
                EngineModel(
                    name: name, model: try ServingModel(config: config, parameters: parameters), tokenizer: tokenizer,
                    stopIDs: [256]))
            served.append(
                ServedModel(
                    id: name, tokenizer: tokenizer, bosID: nil, eosIDs: [256], chatFormat: chatFormat,
                    attention: ["MHA", "MQA"][index]))
        }
        try await self.init(engineModels, served, change)
    }

    /// Over one of the shared models, under its name.
    convenience init(shared name: String, _ checkpoint: Checkpoint) async throws {
        let tokenizer = try TokenizerFile.load(try #require(checkpoint.tokenizer))
        let eos = tokenizer.eosID.map { [$0] } ?? []
        let model = try ServingModel(config: checkpoint.config, parameters: checkpoint.parameters)
        try await self.init(
            [EngineModel(name: name, model: model, tokenizer: tokenizer, stopIDs: Set(eos))],
            [
                ServedModel(
                    id: name, tokenizer: tokenizer, bosID: tokenizer.bosID, eosIDs: eos, chatFormat: .named(.plain),
                    attention: "GQA")
            ])
    }

    private init(
        _ engineModels: [EngineModel], _ served: [ServedModel],
        _ change: (inout ServerOptions, inout EngineOptions) -> Void = { _, _ in }
    ) async throws {
        var engineOptions = EngineOptions()
        engineOptions.cacheBytes = 4 << 20
        engineOptions.pageBytes = 1024
        engineOptions.checksEachStep = true
        var options = ServerOptions()
        options.port = 0
        change(&options, &engineOptions)
        let engine = try Engine(models: engineModels, options: engineOptions)
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let server = ModelServer(engine: engine, models: served, options: options, logger: logger)
        let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
        task = Task {
            defer { continuation.finish() }
            try await server.run { continuation.yield($0) }
        }
        var iterator = ports.makeAsyncIterator()
        guard let port = await iterator.next() else {
            try await task.value
            throw CancellationError()
        }
        self.port = port
        (self.engine, models) = (engine, served)
    }

    deinit { task.cancel() }

    /// An answer's status, headers and body.
    struct Answer {
        var status: Int
        var headers: [String: String]
        var body: [UInt8]

        var text: String { String(decoding: body, as: UTF8.self) }
        var json: JSONValue? { try? JSONValue(parsing: body) }
        /// The error object's message, where it is one of the right form.
        var error: String? {
            guard let error = json?["error"], error["type"]?.string != nil, error.has("param"), error.has("code") else {
                return nil
            }
            return error["message"]?.string
        }
        /// The values of a stream of events, without its end.
        var events: [JSONValue] {
            text.components(separatedBy: "\n\n").compactMap { line in
                line.hasPrefix("data: {") ? try? JSONValue(parsing: Array(line.dropFirst(6).utf8)) : nil
            }
        }
    }

    func send(_ method: String, _ path: String, body: String? = nil, headers: [String: String] = [:]) async throws -> Answer {
        var request = URLRequest(url: URL(string: "http://127.0.0.1:\(port)\(path)")!)
        request.httpMethod = method
        request.timeoutInterval = 300
        request.httpBody = body.map { Data($0.utf8) }
        request.setValue("application/json", forHTTPHeaderField: "Content-Type")
        for (name, value) in headers { request.setValue(value, forHTTPHeaderField: name) }
        let (data, response) = try await URLSession.shared.data(for: request)
        let http = response as? HTTPURLResponse
        var fields: [String: String] = [:]
        for (name, value) in http?.allHeaderFields ?? [:] { fields["\(name)".lowercased()] = "\(value)" }
        return Answer(status: http?.statusCode ?? 0, headers: fields, body: Array(data))
    }

    func post(_ path: String, _ body: String, headers: [String: String] = [:]) async throws -> Answer {
        try await send("POST", path, body: body, headers: headers)
    }

    /// The tokens the engine gives for a prompt, greedily.
    func greedy(_ prompt: [Int32], _ count: Int, model: Int = 0) async throws -> [Int32] {
        var sampling = SamplingOptions()
        sampling.maxTokens = count
        sampling.temperature = 0
        let generation = try await engine.submit(GenerationRequest(model: model, prompt: prompt, sampling: sampling))
        var ids: [Int32] = []
        for await event in generation.events { if case .token(_, let token, _) = event { ids.append(token.id) } }
        return ids
    }

    /// Waits until no request is left, at most ten seconds; says whether that came.
    func becomesIdle() async throws -> Bool {
        for _ in 0..<1000 {
            let now = await engine.statistics
            if now.running + now.waiting == 0 { return true }
            try await Task.sleep(for: .milliseconds(10))
        }
        return false
    }
}
