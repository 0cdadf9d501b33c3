import Hummingbird
import Inference
import JSON

extension Route {
    /// The holders of the pool's pages, as ``ServerState/pool(cells:for:)`` at the resolution that the query's `cells` asks for.
    static let pool = get("/v1/kvlab/pool") { server, request, context in
        guard let text = request.uri.queryParameters["cells"] else { return .json(await server.pool(for: context.caller)) }
        let most = 4096
        guard let cells = Int(text), (1...most).contains(cells) else {
            throw APIError.parameter("cells", "is '\(text.prefix(40))', expected 1 to \(most)")
        }
        return .json(await server.pool(cells: cells, for: context.caller))
    }
}

extension ServerState {
    /// The pool as `caller` sees it: the pages of all tenants together, and of sequences, running or waiting, its own alone unless
    /// it sees everything.
    ///
    /// A page is free, used by one sequence, shared by several, or idle: held by no sequence, but kept for a prefix until pages
    /// are wanted. `models` and `sequences` count them for each holder. `map` tells where they lie: it cuts the pool into cells
    /// of `pages_per_cell` pages, and each of its `runs` is a number of cells that read alike, followed by one list for each
    /// model with pages in such a cell: its place in `models`, and the pages used, shared and idle. The rest of a cell is free.
    ///
    ///     {"pages_per_cell": 8, "runs": [[3, [0, 8, 0, 0]], [1, [0, 2, 0, 0], [1, 0, 4, 1]], [2044]]}
    func pool(cells: Int = 2048, for caller: Caller) async -> JSONValue {
        let map = await engine.poolMap(cells: cells, of: caller.seesAll ? nil : caller.tenant)
        let entries = zip(models, map.models).enumerated().map { index, entry -> JSONValue in
            .object([
                "id": .text(entry.0.id), "attention": .text(entry.0.attention), "bytes_per_token": .int(map.bytesPerToken[index]),
                "pages": .int(entry.1.held), "guaranteed_pages": .int(map.guaranteed[index]), "used_pages": .int(entry.1.used),
                "shared_pages": .int(entry.1.shared), "idle_prefix_pages": .int(entry.1.idle),
                "compressed_prefixes": .int(map.compressedPrefixes[index]),
            ])
        }
        let sequences = map.sequences.map { holder -> JSONValue in
            .object([
                "request": .int(holder.request), "output": .int(holder.index), "model": .text(models[holder.model].id),
                "tokens": .int(holder.tokens), "pages": .int(holder.pages), "shared_pages": .int(holder.shared),
                "logical_bytes": .int(holder.logicalBytes), "allocated_bytes": .int(holder.pages * map.pageBytes),
            ])
        }
        let runs = map.runs.map { run -> JSONValue in
            .array(
                [.int(run.cells)]
                    + run.held.sorted { $0.key < $1.key }.map { model, pages in
                        .array([.int(model), .int(pages.used), .int(pages.shared), .int(pages.idle)])
                    })
        }
        return .object([
            "page_bytes": .int(map.pageBytes), "pages": .int(map.pages), "free_pages": .int(map.free),
            "running": .int(map.sequences.count), "waiting": .int(map.waiting), "models": .array(entries),
            "sequences": .array(sequences),
            "map": .object(["pages_per_cell": .int(map.pagesPerCell), "runs": .array(runs)]),
        ])
    }
}
