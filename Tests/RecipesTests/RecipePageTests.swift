import Foundation
import Testing

@testable import Recipes

/// The recipe page of the documentation against the decoder.
@Suite struct RecipePageTests {
    /// The keys of the page's tables, with the text of their defaults.
    private static let documented: [String: String] = {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let page = root.appending(path: "Documentation/Kvlab.docc/Recipes.md")
        let lines = ((try? String(contentsOf: page, encoding: .utf8)) ?? "").split(separator: "\n")
        return lines.reduce(into: [:]) { found, line in
            let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            guard line.hasPrefix("| `"), cells.count == 4 else { return }
            found[cells[0].trimmingCharacters(in: ["`"])] = cells[2]
        }
    }()

    private typealias Object = [String: Any]

    private static var data: Object { ["files": ["a.txt"], "validation": Object()] }

    private static var scratch: Object {
        [
            "data": data, "train": ["steps": 10, "batch": 1, "seq": 8, "learningRate": 0.001] as Object,
            "tokenizer": ["kind": "byte"],
            "model": ["dim": 64, "layers": 2, "heads": 4, "kvHeads": 4, "headDim": 16, "ffn": 128] as Object,
        ]
    }

    private static var uptraining: Object {
        [
            "data": data, "init": ["checkpoint": "m.h5", "convert": ["kvHeads": 1]] as Object,
            "uptrain": ["distill": Object(), "stopAt": ["withinParentPercent": 1]] as Object,
        ]
    }

    private static var lab: Object {
        let lab: Object = ["children": [["kvHeads": 1, "name": "a"] as Object], "evaluation": Object()]
        return scratch.merging(["lab": lab]) { $1 }
    }

    private static var sweep: Object {
        let sweep: Object = ["kvHeads": [1], "timing": Object()]
        return scratch.merging(["lab": ["sweep": sweep]]) { $1 }
    }

    private func parse(_ recipe: Any) throws -> Recipe {
        try Recipe.parse(String(decoding: JSONSerialization.data(withJSONObject: recipe), as: UTF8.self))
    }

    /// `value` with a key that no object of a recipe has, in the object at `path`.
    private func spoilt(_ value: Any, at path: ArraySlice<String>) -> Any {
        if let list = value as? [Any] { return list.map { spoilt($0, at: path) } }
        var object = value as? Object ?? [:]
        guard let key = path.first else { return object.merging(["noSuchKey": 1]) { $1 } }
        object[key] = spoilt(object[key] ?? Object(), at: path.dropFirst())
        return object
    }

    @Test(arguments: [
        "", "data", "data.validation", "tokenizer", "model", "train", "init", "init.convert", "uptrain", "uptrain.distill",
        "uptrain.stopAt", "lab", "lab.children", "lab.evaluation", "lab.sweep", "lab.sweep.timing",
    ])
    func `every key that the decoder reads stands on the page, and no other`(path: String) throws {
        let base =
            path.hasPrefix("init") || path.hasPrefix("uptrain")
            ? Self.uptraining : path.hasPrefix("lab.sweep") ? Self.sweep : path.hasPrefix("lab") ? Self.lab : Self.scratch
        let error = #expect(throws: RecipeError.self) {
            try parse(spoilt(base, at: path.split(separator: ".").map(String.init)[...]))
        }
        guard case .unknownKey(_, _, _, let valid) = error else {
            Issue.record("\(path): \(String(describing: error))")
            return
        }
        var prefix = path.isEmpty ? "" : path + "."
        var expected = Set(valid)
        if path == "lab.children" {
            // The page names the conversion's keys once, under init.convert.
            prefix = "lab.children[]."
            expected.subtract(["kvHeads", "method", "grouping", "attention", "calibrationTokens"])
        }
        let found = Self.documented.keys.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
            .filter { !$0.contains(".") }
        #expect(Set(found) == expected)
    }

    /// The leaves of a JSON value under their key paths.
    private func leaves(_ value: Any, _ path: String) -> [(String, Any)] {
        if let object = value as? Object {
            return object.flatMap { leaves($0.value, path.isEmpty ? $0.key : path + "." + $0.key) }
        }
        if let list = value as? [Any], list.contains(where: { $0 is Object }) {
            return list.flatMap { leaves($0, path + "[]") }
        }
        return [(path, value)]
    }

    @Test(arguments: 0..<4)
    func `every default that is filled in is the page's`(index: Int) throws {
        let base = [Self.scratch, Self.uptraining, Self.lab, Self.sweep][index]
        let given = Set(leaves(base, "").map(\.0))
        let resolved = try JSONSerialization.jsonObject(with: Data(parse(base).resolvedJSON.utf8))
        var count = 0
        for (path, value) in leaves(resolved, "") where !given.contains(path) {
            let key = path.replacing("lab.children[].", with: "init.convert.")
            let text = try #require(Self.documented[key], "\(path) is \(value)")
            let literal = text.trimmingCharacters(in: ["`"])
            let expected = try JSONSerialization.jsonObject(with: Data(literal.utf8), options: .fragmentsAllowed)
            #expect((value as? NSObject) == (expected as? NSObject), "\(path) is \(value), the page has \(text)")
            count += 1
        }
        #expect(count >= 15)
    }
}
