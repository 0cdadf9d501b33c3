import Foundation
import Inference
import JSON
import Testing

@testable import Recipes

/// The declarations of keys against the decoder, the schema and the documentation's page.
@Suite struct RecipePageTests {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    private static func json(_ text: String) -> JSONValue {
        // What follows is written here.
        (try? JSONValue(parsing: Array(text.utf8))) ?? .null
    }

    private static let scratch = json(
        """
        {"data": {"files": ["a.txt"]}, "train": {"steps": 10, "batch": 1, "seq": 8, "learningRate": 0.001}, "tokenizer": {"kind": "byte"},
         "model": {"dim": 64, "layers": 2, "heads": 4, "kvHeads": 4, "headDim": 16, "ffn": 128}}
        """)
    private static let uptraining = json(
        """
        {"data": {"files": ["a.txt"]}, "init": {"checkpoint": "m.h5", "convert": {"kvHeads": 1}},
         "uptrain": {"distill": {}, "stopAt": {"withinParentPercent": 1}}}
        """)
    private static let lab = scratch.setting("lab", json(#"{"children": [{"kvHeads": 1, "name": "a"}], "evaluation": {}}"#))
    private static let sweep = scratch.setting("lab", json(#"{"sweep": {"kvHeads": [1], "timing": {}}}"#))

    private static let latent = #"{"attention": {"kind": "mla", "rank": 8}}"#

    /// A recipe that decodes, in which the object at `path` stands or may stand, and its `key` may be read.
    private static func base(_ path: String, _ key: String) -> JSONValue {
        switch path {
        case "init.convert.attention":
            uptraining.setting("init", json(#"{"checkpoint": "m.h5", "convert": \#(latent)}"#))
        case "data.files[]": scratch.setting("data", json(#"{"files": [{"path": "a.txt"}]}"#))
        case "lab.children[].attention": scratch.setting("lab", json(#"{"children": [\#(latent)]}"#))
        // Given parents are trained already.
        case "lab.sweep" where key == "parents": json(#"{"data": {"files": ["a.txt"]}, "lab": {"sweep": {"kvHeads": [1]}}}"#)
        case _ where path.hasPrefix("init") || path.hasPrefix("uptrain"): uptraining
        case _ where path.hasPrefix("lab.sweep"): sweep
        case _ where path.hasPrefix("lab"): lab
        default: scratch
        }
    }

    /// `value` with `change` made to the object at `path`; an object that is missing is made of the example that `section` declares.
    private func changed(
        _ value: JSONValue, _ section: RecipeSection, at path: ArraySlice<String>, _ change: (JSONValue) -> JSONValue
    ) throws -> JSONValue {
        guard let step = path.first else { return change(value) }
        let name = step.replacing("[]", with: "")
        let key = try #require(section[name])
        let inner = try #require(key.type.section)
        let found = value[name] ?? key.example
        guard let elements = found.array else {
            return value.setting(name, try changed(found, inner, at: path.dropFirst(), change))
        }
        return value.setting(name, .array(try elements.map { try changed($0, inner, at: path.dropFirst(), change) }))
    }

    private func recipe(_ object: String, _ key: String = "", _ change: (JSONValue) -> JSONValue) throws -> JSONValue {
        let path = object.split(separator: ".").map(String.init)
        return try changed(Self.base(object, key), .recipe, at: path[...], change)
    }

    /// Every declared key with its object's path; keys of a kind with an object of that kind.
    private static let declared: [(object: String, key: RecipeKey, kind: JSONValue?)] = RecipeSection.recipe.allObjects.flatMap {
        object in
        object.section.keys.map { (object.path, $0, nil) }
            + object.section.kinds.flatMap { kind in
                let whole = object.section.of(kind: kind.name).example.setting("kind", .text(kind.name))
                return kind.keys.map { (object.path, $0, whole) }
            }
    }

    @Test func `every declared key is read, and refused with a value of another type by decoder and schema`() throws {
        let schema = SchemaCheck(root: Recipe.schema())
        for (object, key, kind) in Self.declared {
            let wrong: JSONValue = key.type.section == nil ? .object([:]) : .int(3)
            let value = try recipe(object, key.name) { (kind ?? $0).setting(key.name, wrong) }
            let path = (object.isEmpty ? "" : object.replacing("[]", with: "[0]") + ".") + key.name
            do throws(RecipeError) {
                _ = try Recipe.parse(value.text)
                Issue.record("\(path) is not read")
            } catch {
                guard case .wrongType(_, let found, _, _) = error else {
                    Issue.record("\(path): \(error)")
                    continue
                }
                #expect(found == path)
            }
            #expect(schema.fault(value) != nil, "\(path)")
        }
        #expect(Self.declared.count > 150)
    }

    @Test func `every example is a value that the schema takes`() throws {
        let schema = SchemaCheck(root: Recipe.schema())
        for (object, key, kind) in Self.declared {
            let value = try recipe(object, key.name) { (kind ?? $0).setting(key.name, key.example) }
            let fault = schema.fault(value)
            #expect(fault == nil, "\(object).\(key.name)")
        }
    }

    @Test func `the schema takes shipped recipes, and refuses unknown keys, limits overstepped and missing data`() throws {
        let schema = SchemaCheck(root: Recipe.schema())
        let folder = Self.root.appending(path: "recipes")
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
            .filter { $0.pathExtension == "json" }
        #expect(files.count >= 9)
        for file in files {
            let recipe = try JSONDocument(parsing: Array(Data(contentsOf: file)), syntax: .relaxed).value
            let fault = schema.fault(recipe)
            #expect(fault == nil, "\(file.lastPathComponent)")
        }
        for object in RecipeSection.recipe.allObjects {
            let spoilt = try recipe(object.path) { $0.setting("noSuchKey", .int(1)) }
            let fault = schema.fault(spoilt)
            #expect(fault?.hasSuffix("noSuchKey is unknown") == true, "\(object.path)")
        }
        let faults = [
            ("{}", "/data is missing"), (#"{"data": {}}"#, "/data/files is missing"), (#"{"extends": "a.json"}"#, nil),
            (#"{"extends": "a", "train": {"dropout": 0.96}}"#, "/train/dropout is above 0.95"),
            (#"{"extends": "a", "train": {"batch": 0}}"#, "/train/batch is below 1"),
            (#"{"extends": "a", "model": {"kvHeads": [4, 0]}}"#, "/model/kvHeads[1] is below 1"),
            (#"{"extends": "a", "train": {"sampleEvery": null}}"#, nil),
        ]
        for (text, expected) in faults {
            let fault = schema.fault(Self.json(text))
            #expect(fault == expected, "\(text)")
        }
    }

    @Test func `the page has a line for every key as declared, and no other`() throws {
        let page = try String(contentsOf: Self.root.appending(path: "Documentation/Kvlab.docc/Recipes.md"), encoding: .utf8)
        let found = page.split(separator: "\n").filter { $0.hasPrefix("| `") }.map(String.init)
        let expected = RecipeSection.recipe.rows.map { row in
            let kinds = row.kinds.isEmpty ? "" : " for " + row.kinds.map { "`\($0)`" }.joined(separator: " and ")
            return "| `\(row.path)`\(kinds) | \(row.key.type.text) | \(row.key.absence.text) | \(row.key.meaning) |"
        }
        for line in expected where !found.contains(line) { Issue.record("the page lacks\n\(line)") }
        for line in found where !expected.contains(line) { Issue.record("the page has\n\(line)") }
    }

    /// The leaves of a JSON value under their key paths.
    private func leaves(_ value: JSONValue, _ path: String) -> [(String, JSONValue)] {
        if let members = value.members {
            return members.flatMap { leaves($0.value, path.isEmpty ? $0.name : path + "." + $0.name) }
        }
        if let list = value.array, list.contains(where: { $0.members != nil }) { return list.flatMap { leaves($0, path + "[]") } }
        return [(path, value)]
    }

    @Test(arguments: 0..<4)
    func `every default that is filled in is the declared one`(index: Int) throws {
        let base = [Self.scratch, Self.uptraining, Self.lab, Self.sweep][index]
        let given = Set(leaves(base, "").map(\.0))
        let resolved = try JSONValue(parsing: Array(Recipe.parse(base.text).resolvedJSON.utf8))
        var count = 0
        for (path, value) in leaves(resolved, "") where !given.contains(path) {
            let key = try #require(Self.declared.first { ($0.object.isEmpty ? "" : $0.object + ".") + $0.key.name == path }?.key)
            switch key.absence {
            case .fixed(let expected): #expect(value == expected || value.double.map { $0 == expected.double } == true, "\(path)")
            case .derived: break
            case .required, .requiredIf, .optional: Issue.record("\(path) is filled in with \(value.text)")
            }
            count += 1
        }
        #expect(count >= 15)
    }

    @Test func `a cache of a recipe has the keys of a cache's configuration`() {
        let keys = RecipeSection.recipe["lab"]?.type.section?["compression"]?.type.section?.keys.map(\.name) ?? []
        #expect(Set(keys) == Set(CacheSetting.all.filter { !$0.isOfOneModel }.map(\.key) + ["kvDtype"]))
    }

    @Test func `help shows every key, or those under a path`() throws {
        let all = try #require(Recipe.help())
        for row in RecipeSection.recipe.rows { #expect(all.contains("\n\(row.path)  ") || all.hasPrefix("\(row.path)  ")) }
        let key = try #require(Recipe.help(on: "train.accumulation"))
        #expect(
            key == """
                train.accumulation  integer, default 1
                    equal parts that a batch is computed in
                    "accumulation": 4
                """)
        #expect(Recipe.help(on: "lab.children[0].name") == Recipe.help(on: "lab.children.name"))
        #expect(Recipe.help(on: "lab.children[1]")?.contains("'init.convert'") == true)
        #expect(Recipe.help(on: "model.attention.window")?.contains("for \"yoco\" and \"hybrid\": integer, required") == true)
        #expect(Recipe.help(on: "trian") == nil)
    }
}
