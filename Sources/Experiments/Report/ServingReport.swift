import Foundation

/// Throughput and latency of serving each architecture, against its cache bytes a token.
public struct ServingReport: Sendable, Encodable {
    /// One model.
    public struct Row: Sendable, Encodable {
        /// The model's id, and its attention's short name.
        public var model: String, attention: String
        /// Cache bytes of a token over all layers.
        public var kvBytesPerToken: Int
        /// Sequences of the load's length that the cache memory holds.
        public var sequencesHeld: Int
        /// The closed loop.
        public var closed: ServingLoad
        /// The open loop, where there was one.
        public var open: ServingLoad?

        /// A model's figures.
        public init(
            model: String, attention: String, kvBytesPerToken: Int, sequencesHeld: Int, closed: ServingLoad, open: ServingLoad?
        ) {
            (self.model, self.attention, self.kvBytesPerToken) = (model, attention, kvBytesPerToken)
            (self.sequencesHeld, self.closed, self.open) = (sequencesHeld, closed, open)
        }
    }

    /// The load, in a few sentences.
    public var caption: String
    /// The models, in the order measured.
    public var rows: [Row]

    /// The figures of `rows` under a `caption`.
    public init(rows: [Row], caption: String) { (self.rows, self.caption) = (rows, caption) }

    /// The columns; those with a group stand under it in HTML, and have its name in Markdown.
    private static let titles: [(group: String?, name: String)] =
        ["model", "attention", "KV bytes/token", "sequences held", "load", "answered", "tokens/s", "requests/s"].map { (nil, $0) }
        + ["first token, ms", "per token, ms"].flatMap { group in ["p50", "p90", "p99"].map { (group, $0) } }

    private static func isText(_ column: Int) -> Bool { [0, 1, 4].contains(column) }

    /// Each line's cells: a measured figure's median, and its range where there were several rounds.
    private var cells: [[(text: String, range: String?)]] {
        rows.flatMap { row in
            ([row.closed] + (row.open.map { [$0] } ?? [])).map { load in
                func plain(_ text: String) -> (String, String?) { (text, nil) }
                func figure(_ it: ServingLoad.Spread, _ digits: Int, _ scale: Double = 1) -> (String, String?) {
                    (it.text(digits, scale: scale), it.range(digits, scale: scale))
                }
                func latency(_ it: ServingLoad.Latency, _ digits: Int) -> [(String, String?)] {
                    [it.p50, it.p90, it.p99].map { figure($0, digits, 1e3) }
                }
                return [
                    plain(row.model), plain(row.attention), plain("\(row.kvBytesPerToken)"), plain("\(row.sequencesHeld)"),
                    plain(load.rate.map { String(format: "open, %.3g/s", $0) } ?? "closed"),
                    plain("\(load.answered) of \(load.answered + load.failed)"), figure(load.tokensPerSecond, 0),
                    figure(load.requestsPerSecond, 1),
                ] + latency(load.firstToken, 1) + latency(load.perToken, 2)
            }
        }
    }

    /// The table in Markdown, ranges in brackets.
    public var markdown: String {
        let dashes = Self.titles.indices.map { Self.isText($0) ? "---" : "---:" }
        let body = cells.map { line in
            // A model's name may have what Markdown would take for the end of its cell.
            line.map { $0.text.replacingOccurrences(of: "|", with: "\\|") + ($0.range.map { " (\($0))" } ?? "") }
        }
        let titles = Self.titles.map { ($0.group.map { $0 + " " } ?? "") + $0.name }
        return ([titles, dashes] + body).map { "| " + $0.joined(separator: " | ") + " |" }.joined(separator: "\n")
    }

    /// The table and the plots as one file that needs nothing else.
    public var html: String {
        let body = cells.map { line in
            let cells = line.enumerated().map { index, cell in
                // The architecture stands under the model, where the others have their ranges: fourteen columns are too wide.
                guard index != 1 else { return "" }
                let small = (index == 0 ? line[1].text : cell.range).map { "<br><small>\($0.escapedForHTML)</small>" } ?? ""
                return "<td\(Self.isText(index) ? " class=\"text\"" : "")>\(cell.text.escapedForHTML)\(small)</td>"
            }
            return "<tr>\(cells.joined())</tr>"
        }
        let loads = rows.flatMap { [$0.closed] + ($0.open.map { [$0] } ?? []) }
        let ranges =
            loads.contains { $0.tokensPerSecond.hasRange }
            ? " Small figures and bars go from the lowest round to the highest." : ""
        return HTMLReport.page(
            title: "kvlab bench serve",
            body: """
                <p class="caption">\(caption.escapedForHTML)\(ranges)</p>
                <div class="scroll"><table><thead>\(head)</thead><tbody>\(body.joined(separator: "\n"))</tbody></table></div>
                <h2>What a byte of cache costs</h2>
                <p class="caption">Up is better. Models of equal bytes per token stand side by side.</p>
                <h3>Throughput</h3>
                \(throughput.figure)
                <h3>Sequences held</h3>
                \(sequences.figure)
                """)
    }

    private var head: String {
        let (plain, grouped) = (Self.titles.filter { $0.group == nil }, Self.titles.filter { $0.group != nil })
        let upper = plain.enumerated().filter { $0.offset != 1 }.map { index, title in
            "<th rowspan=\"2\"\(Self.isText(index) ? " class=\"text\"" : "")>\(title.name)</th>"
        }
        let groups = stride(from: 0, to: grouped.count, by: 3).map { "<th colspan=\"3\">\(grouped[$0].group ?? "")</th>" }
        return "<tr>\((upper + groups).joined())</tr><tr>\(grouped.map { "<th>\($0.name)</th>" }.joined())</tr>"
    }

    /// Each model's throughput, of both loops.
    var throughput: ServingPlot {
        ServingPlot(
            points: rows.flatMap { row in
                ([row.closed] + (row.open.map { [$0] } ?? [])).map { load in
                    ServingPlot.Point(
                        model: row.model, attention: row.attention, bytes: row.kvBytesPerToken, y: load.tokensPerSecond,
                        isOpen: load.rate != nil)
                }
            }, yName: "output tokens/s", kinds: ("closed loop", "open loop"))
    }

    /// The sequences each model's cache memory holds.
    var sequences: ServingPlot {
        ServingPlot(
            points: rows.map { row in
                ServingPlot.Point(
                    model: row.model, attention: row.attention, bytes: row.kvBytesPerToken,
                    y: ServingLoad.Spread([Double(row.sequencesHeld)]), isOpen: false)
            }, yName: "sequences held")
    }
}
