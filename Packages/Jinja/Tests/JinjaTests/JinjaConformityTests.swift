import Foundation
import Jinja
import Testing

/// Every fixture gives what transformers gave, character by character.
struct JinjaConformityTests {
    private func result(_ source: String, _ variables: [String: JinjaValue]) -> Result<String, JinjaError> {
        Result { () throws(JinjaError) in
            try JinjaTemplate(source).render(variables, now: JinjaFixtures.now, timeZone: JinjaFixtures.timeZone)
        }
    }

    /// nil if the result is the one that `fixture` holds, or else what is wrong.
    private func difference(_ result: Result<String, JinjaError>, _ fixture: JinjaValue) -> String? {
        switch (result, fixture["expected"], fixture["raised"], fixture["undefined"], fixture["error"]) {
        case (.success(let text), .string(let expected), _, _, _):
            let isSame = text.utf8.elementsEqual(expected.utf8)
            return isSame ? nil : "got \(text.debugDescription), expected \(expected.debugDescription)"
        case (.failure(let error), _, .string(let message), _, _):
            return error.raisedMessage == message ? nil : "threw \(error), expected it to raise \(message)"
        case (.failure(let error), _, _, .string(let message), _):
            return error.kind == .fault && error.reason == message ? nil : "threw \(error), expected \(message)"
        case (.failure(let error), _, _, _, .string(let message)):
            return error.kind == .raised ? "raised \(error), expected \(message)" : nil
        case (.failure(let error), _, _, _, _): return "threw \(error)"
        case (.success(let text), _, _, _, _): return "got \(text.debugDescription), expected an error"
        }
    }

    @Test func `every chat template renders every conversation as transformers does`() {
        let root = JinjaFixtures.shared.root
        var count = 0
        for fixture in root["chats"].elements {
            let (name, title) = (fixture["template"].string, fixture["conversation"].string)
            var variables = root["conversations"][title].variables
            for (key, value) in fixture["options"].variables { variables[key] = value }
            let difference = difference(result(root["templates"][name].string, variables), fixture)
            #expect(difference == nil, "\(name), \(title), \(fixture["options"]["add_generation_prompt"])")
            count += 1
        }
        #expect(count >= 600)
    }

    @Test func `every snippet renders as jinja2 does`() {
        let root = JinjaFixtures.shared.root
        let variables = root["variables"].variables
        var count = 0
        for fixture in root["snippets"].elements {
            let difference = difference(result(fixture["source"].string, variables), fixture)
            #expect(difference == nil, "\(fixture["source"].string)")
            count += 1
        }
        #expect(count >= 250)
    }
}
