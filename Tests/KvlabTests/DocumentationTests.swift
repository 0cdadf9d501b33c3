import ArgumentParser
import Foundation
import Testing

@testable import kvlab

@Suite struct DocumentationTests {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// The README and the catalogue's pages, by their paths.
    private static let pages: [(path: String, text: String)] = {
        let catalogue = root.appending(path: "Documentation/Kvlab.docc")
        let files = (try? FileManager.default.contentsOfDirectory(at: catalogue, includingPropertiesForKeys: nil)) ?? []
        return ([root.appending(path: "README.md")] + files.filter { $0.pathExtension == "md" }).compactMap { file in
            (try? String(contentsOf: file, encoding: .utf8)).map { (file.lastPathComponent, $0) }
        }
    }()

    /// The lines of fenced blocks that are in `language`.
    private func blocks(_ text: String, _ language: String) -> [[Substring]] {
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

    /// The words of a shell line up to a comment, quotes removed.
    private func words(_ line: Substring) -> [String] {
        var (words, word, isQuoted) = ([String](), String?.none, false)
        for character in line {
            switch character {
            case "\"", "'":
                isQuoted.toggle()
                word = word ?? ""
            case "#" where !isQuoted && word == nil: return words
            case " " where !isQuoted:
                if let complete = word { words.append(complete) }
                word = nil
            default: word = (word ?? "") + String(character)
            }
        }
        return words + (word.map { [$0] } ?? [])
    }

    @Test func `every command of the documentation is one that the tool takes`() throws {
        var count = 0
        for (path, text) in Self.pages {
            for line in blocks(text, "").joined() where line.hasPrefix("kvlab ") {
                let arguments = words(line).dropFirst().filter { $0 != "&" }
                do {
                    _ = try Kvlab.parseAsRoot(Array(arguments))
                    count += 1
                } catch {
                    Issue.record("\(path): \(line)\n\(Kvlab.message(for: error))")
                }
            }
        }
        #expect(count >= 30)
    }

    @Test func `every piece of code in a how-to stands in the file that it names`() throws {
        let page = try #require(Self.pages.first { $0.path == "Extending.md" }).text
        let blocks = blocks(page, "swift")
        #expect(blocks.count >= 6)
        for block in blocks {
            let path = try #require(block.first.flatMap { $0.hasPrefix("// ") ? $0.dropFirst(3) : nil }, "\(block)")
            let file = try String(contentsOf: Self.root.appending(path: String(path)), encoding: .utf8)
            let code = block.dropFirst().joined(separator: "\n")
            #expect(file.contains(code), "\(path) has not:\n\(code)")
        }
    }

    @Test func `files, folders and tables that the pages on the code name are there`() throws {
        let page = try #require(Self.pages.first { $0.path == "Extending.md" }).text
        for match in page.matches(of: /`((?:Sources|Tests|CKernels)\/[A-Za-z0-9_\/.]+)`/) {
            let path = match.1.hasPrefix("CKernels") ? "Sources/\(match.1)" : String(match.1)
            #expect(FileManager.default.fileExists(atPath: Self.root.appending(path: path).path), "\(path)")
        }
    }
}
