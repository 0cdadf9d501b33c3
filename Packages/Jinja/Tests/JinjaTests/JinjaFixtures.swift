import Foundation
import JSON
import Jinja

/// What transformers made of the templates and snippets: see Fixtures/make_fixtures.py.
struct JinjaFixtures {
    let root: JinjaValue

    static let shared: JinjaFixtures = {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/fixtures.json")
        let json = (try? Data(contentsOf: file)).flatMap { try? JSONValue(parsing: Array($0)) }
        return JinjaFixtures(root: json.map { JinjaValue($0) } ?? .undefined)
    }()

    /// 2024-07-26 09:05:03, where the fixtures were made.
    static let now = Date(timeIntervalSince1970: 1_721_984_703)
    static let timeZone = TimeZone(secondsFromGMT: 0)!

    var templates: [(name: String, source: String)] {
        root["templates"].members.map { ($0.key, $0.value.string) }
    }

    /// Every source there is, for tests that change them.
    var sources: [String] { templates.map(\.source) + root["snippets"].elements.map { $0["source"].string } }
}

extension JinjaValue {
    /// A member; undefined where there is none.
    subscript(key: String) -> JinjaValue { members.first { $0.key == key }?.value ?? .undefined }

    var members: [Member] { if case .dictionary(let members) = self { members } else { [] } }

    var elements: [JinjaValue] { if case .list(let elements) = self { elements } else { [] } }

    var string: String { if case .string(let text) = self { text } else { "" } }

    /// The members as variables of a template.
    var variables: [String: JinjaValue] { Dictionary(uniqueKeysWithValues: members.map { ($0.key, $0.value) }) }
}
