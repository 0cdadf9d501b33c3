import Testing

@testable import JSON

@Suite struct JSONValueTests {
    private func parse(_ text: String) throws(JSONError) -> JSONValue { try JSONValue(parsing: Array(text.utf8)) }

    @Test func `what was written is read back equal`() throws {
        let text = #"{"a": [1, -2.5e3, true, null], "b\"\\": {"": "ä\u0001\n"}, "10": 4096.0}"#
        let value = try parse(text)
        #expect(value["a"]?.array?.map(\.double) == [1, -2500, nil, nil])
        #expect(value["10"]?.int == 4096)
        #expect(try JSONValue(parsing: value.compact) == value)
        #expect(try parse(value.text) == value)
        #expect(try parse(#""\ud83d\ude00\/\t""#).string == "\u{1F600}/\t")
    }

    @Test func `an indented value has a line for each element and member, and is read back equal`() throws {
        let value = JSONValue.object(["a": .array([.int(1), .object(["b": .null])]), "c": .array([]), "d": .object([:])])
        let text = """
            {
              "a": [
                1,
                {
                  "b": null
                }
              ],
              "c": [],
              "d": {}
            }
            """
        #expect(value.indented == text)
        #expect(try JSONValue(parsing: Array(text.utf8)) == value)
    }

    @Test func `null counts as absent, but the key is there`() throws {
        let value = try parse(#"{"a": null}"#)
        #expect(value["a"] == nil && value.has("a") && !value.has("b"))
        #expect(value.setting("a", .text("x"))["a"]?.string == "x")
    }

    @Test func `keys that Unicode calls equivalent are two`() throws {
        let value = try parse(#"{"\u00e9": 1, "e\u0301": 2}"#)
        #expect(value.members?.count == 2)
        #expect(value["e\u{301}"]?.int == 2)
    }

    @Test(arguments: [
        "", " ", "{", "[1,]", "{\"a\":1,}", "01", "1.", ".5", "+1", "1e", "-", "nul", "tru", "\"\u{1}\"", "\"", "\"\\x\"",
        "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\u12\"", "{\"a\":1,\"a\":2}", "{\"a\" 1}", "{1:2}", "[1 2]", "1 1", "NaN",
        "Infinity", "'a'", "// a\n1", "\u{FEFF}1", String(repeating: "[", count: 100_000),
        String(repeating: "{\"a\":", count: 100_000),
    ])
    func `what is no JSON is refused`(text: String) {
        #expect(throws: JSONError.self) { try parse(text) }
    }

    @Test func `bytes that are not UTF-8 and too many values are refused`() {
        #expect(throws: JSONError(offset: 1, reason: "a string that is not UTF-8")) {
            try JSONValue(parsing: [0x22, 0xC3, 0x28, 0x22])
        }
        #expect(throws: JSONError.self) { try JSONValue(parsing: Array("[1,2,3]".utf8), nodes: 3) }
    }

    @Test func `an error tells line and column`() {
        let text = Array("{\n \"a\": x}".utf8)
        let error = #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
        #expect(error?.position(in: text).line == 2)
        #expect(error?.position(in: text).column == 7)
    }

    @Test func `the relaxed syntax passes over comments and trailing commas`() throws {
        let text = Array("\u{FEFF}{ // é\n \"a\": [1, /* , */ 2,], }".utf8)
        let document = try JSONDocument(parsing: text, syntax: .relaxed)
        #expect(document.value == (try parse(#"{"a": [1, 2]}"#)))
        #expect(throws: JSONError.self) { try JSONDocument(parsing: text) }
        // The object, the key, the array and its two numbers.
        var lines = LineCounter(text)
        let places = document.offsets.map { lines.position(of: $0) }
        #expect(places.map(\.line) == [1, 2, 2, 2, 2])
        #expect(places.map(\.column) == [2, 2, 7, 8, 19])
    }

    @Test(arguments: [
        ("", "byte 0: expected a value, found the end of the text"),
        ("[1 2]", "byte 3: expected ',' or ']', found '2'"),
        ("[1,]", "byte 3: expected a value, found ']'"),
        ("{\"a\":1,}", "byte 7: expected a key in double quotes, found '}'"),
        ("{\"a\":1,\n\"a\":2}", "byte 8: 'a' stands here a second time; the first is on line 1"),
        ("[1] é", "byte 4: expected the end of the text, found 'é'"),
        ("[trues]", "byte 1: expected a value, found 'trues'"),
        ("[-]", "byte 1: '-' is no number"),
    ])
    func `an error tells what was expected and found`(text: String, sentence: String) {
        let error = #expect(throws: JSONError.self) { try parse(text) }
        #expect(error?.description == sentence)
    }
}
