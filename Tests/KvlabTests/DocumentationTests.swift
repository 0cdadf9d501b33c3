import ArgumentParser
import Foundation
import TestSupport
import Testing

@testable import kvlab

@Suite struct DocumentationTests {
    @Test func `every command of the documentation is one that the tool takes`() throws {
        var count = 0
        // A file of scores is read with the options.
        let scratch = ScratchDirectory()
        let scores = #"{"method": "duo-attention", "layers": [0], "scores": {"gate": [[1, 0]]}}"#
        try scratch.write(scores.utf8, to: "duo.json")
        for (path, text) in ShellLines.pages {
            for line in ShellLines.blocks(text, "").joined() where line.hasPrefix("kvlab ") {
                let arguments = ShellLines.words(line).dropFirst().filter { $0 != "&" }.map {
                    $0 == "duo.json" ? scratch[$0] : $0
                }
                do {
                    _ = try Kvlab.parseAsRoot(arguments)
                    count += 1
                } catch {
                    Issue.record("\(path): \(line)\n\(Kvlab.message(for: error))")
                }
            }
        }
        #expect(count >= 30)
    }

    @Test func `every piece of code in a how-to stands in the file that it names`() throws {
        let page = try #require(ShellLines.pages.first { $0.name == "Extending.md" }).text
        let blocks = ShellLines.blocks(page, "swift")
        #expect(blocks.count >= 6)
        for block in blocks {
            let path = try #require(block.first.flatMap { $0.hasPrefix("// ") ? $0.dropFirst(3) : nil }, "\(block)")
            let file = try String(contentsOf: ShellLines.root.appending(path: String(path)), encoding: .utf8)
            let code = block.dropFirst().joined(separator: "\n")
            #expect(file.contains(code), "\(path) has not:\n\(code)")
        }
    }

    @Test func `files, folders and tables that the pages on the code name are there`() throws {
        let page = try #require(ShellLines.pages.first { $0.name == "Extending.md" }).text
        for match in page.matches(of: /`((?:Sources|Tests|CKernels)\/[A-Za-z0-9_\/.]+)`/) {
            let path = match.1.hasPrefix("CKernels") ? "Sources/\(match.1)" : String(match.1)
            #expect(FileManager.default.fileExists(atPath: ShellLines.root.appending(path: path).path), "\(path)")
        }
    }
}
