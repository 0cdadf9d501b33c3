import Foundation

/// Commands as the README and the documentation's pages show them.
enum ShellLines {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// The README and the catalogue's pages, by their names.
    static let pages: [(name: String, text: String)] = {
        let catalogue = root.appending(path: "Documentation/Kvlab.docc")
        let files = (try? FileManager.default.contentsOfDirectory(at: catalogue, includingPropertiesForKeys: nil)) ?? []
        return ([root.appending(path: "README.md")] + files.filter { $0.pathExtension == "md" }).compactMap { file in
            (try? String(contentsOf: file, encoding: .utf8)).map { (file.lastPathComponent, $0) }
        }
    }()

    /// The lines of fenced blocks that are in `language`.
    static func blocks(_ text: String, _ language: String) -> [[Substring]] {
        var (found, open): ([[Substring]], Bool) = ([], false)
        var isWanted = false
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            guard line.hasPrefix("```") else {
                if open, isWanted { found[found.count - 1].append(line) }
                continue
            }
            open.toggle()
            guard open else { continue }
            isWanted = line.dropFirst(3) == language
            if isWanted { found.append([]) }
        }
        return found
    }

    /// The words of a shell line up to a comment, quotes removed; a word within single quotes keeps its double ones.
    static func words(_ line: Substring) -> [String] {
        var (words, word, quote) = ([String](), String?.none, Character?.none)
        for character in line {
            switch character {
            case "\"" where quote != "'", "'" where quote != "\"":
                quote = quote == nil ? character : nil
                word = word ?? ""
            case "#" where quote == nil && word == nil: return words
            case " " where quote == nil:
                if let complete = word { words.append(complete) }
                word = nil
            default: word = (word ?? "") + String(character)
            }
        }
        return words + (word.map { [$0] } ?? [])
    }
}
