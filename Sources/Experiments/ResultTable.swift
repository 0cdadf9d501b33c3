import Files

/// A table of models: aligned for a terminal, in Markdown and in HTML, and in full as JSON and CSV.
public protocol ResultTable: Sendable {
    /// The figures' text, cache and reference in one sentence.
    var caption: String { get }
    /// The columns, each with a cell for every model.
    var columns: [TableColumn] { get }
    /// Every figure as JSON with stable keys; a figure that is no finite number is the string "nan", "inf" or "-inf".
    var json: String { get }
    /// Every figure in full, one line a model, as RFC 4180 has it; nothing between commas where there is no figure.
    var csv: String { get }
}

/// A column of a table.
public struct TableColumn: Sendable, Hashable {
    /// Its head.
    public var title: String
    /// Its cells, row by row.
    public var cells: [String]
    /// Whether it is text, which is aligned on the left.
    public var leading = false

    /// The column of `rows`; nil where none has a value. A row without one has a dash.
    static func filled<Row>(_ title: String, _ rows: [Row], leading: Bool = false, _ cell: (Row) -> String?) -> TableColumn? {
        let cells = rows.map(cell)
        guard cells.contains(where: { $0 != nil }) else { return nil }
        return TableColumn(title: title, cells: cells.map { $0 ?? "–" }, leading: leading)
    }
}

extension ResultTable where Self: Encodable {
    public var json: String {
        // Encoding plain values cannot fail.
        (try? CanonicalJSON.text(of: self, pretty: true, nonFinite: .spelled)) ?? ""
    }
}

extension ResultTable {
    /// Aligned columns for a terminal.
    public var plain: String { "\(caption)\n\n\(columns.plain)" }

    /// A Markdown table.
    public var markdown: String {
        let columns = columns
        func line(_ cells: [String]) -> String {
            "| " + cells.map { $0.replacing("|", with: "\\|") }.joined(separator: " | ") + " |"
        }
        return
            ([line(columns.map(\.title)), line(columns.map { $0.leading ? "---" : "---:" })] + columns.rows.map(line) + [
                "", caption,
            ])
            .joined(separator: "\n")
    }

    /// The columns of `rows` under their names as comma-separated values; texts with commas, quotes or line ends are quoted.
    static func csv<Row>(
        _ rows: [Row], _ columns: KeyValuePairs<String, (Row) -> (any CustomStringConvertible)?>
    ) -> String {
        func quoted(_ text: String) -> String {
            text.contains { "\",\n\r".contains($0) } ? "\"" + text.replacing("\"", with: "\"\"") + "\"" : text
        }
        let lines = [columns.map(\.key)] + rows.map { row in columns.map { $0.value(row)?.description ?? "" } }
        return lines.map { $0.map(quoted).joined(separator: ",") + "\r\n" }.joined()
    }
}

extension [TableColumn] {
    /// The cells of each row.
    var rows: [[String]] { (first?.cells ?? []).indices.map { row in map { $0.cells[row] } } }

    /// Aligned columns for a terminal.
    var plain: String {
        let widths = map { column in ([column.title] + column.cells).map(\.count).max() ?? 0 }
        func line(_ cells: [String]) -> String {
            zip(cells, zip(self, widths)).map { cell, layout in
                let padding = String(repeating: " ", count: layout.1 - cell.count)
                return layout.0.leading ? cell + padding : padding + cell
            }.joined(separator: "  ")
        }
        return ([line(map(\.title)), line(widths.map { String(repeating: "─", count: $0) })] + rows.map(line)).joined(
            separator: "\n")
    }
}
