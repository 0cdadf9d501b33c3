import Console
import Testing

@Suite struct PrintableTests {
    @Test(arguments: [
        ("plain: ü, 漢字, 👍", "plain: ü, 漢字, 👍", "plain: ü, 漢字, 👍"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab", #"two\nlines\tand a tab"#),
        ("red \u{1b}[31m", #"red \u{1b}[31m"#, #"red \u{1b}[31m"#), ("over\rwritten", #"over\rwritten"#, #"over\rwritten"#),
        ("\u{0}\u{7f}\u{9b}2J", #"\u{0}\u{7f}\u{9b}2J"#, #"\u{0}\u{7f}\u{9b}2J"#),
        ("a\u{2028}b\u{202e}c\u{2067}", #"a\u{2028}b\u{202e}c\u{2067}"#, #"a\u{2028}b\u{202e}c\u{2067}"#), ("", "", ""),
        ("a\r\nb", "a\\r\nb", #"a\r\nb"#),
    ])
    func `what acts on a terminal is spelled out, and the rest stays`(text: String, printable: String, oneLine: String) {
        #expect(text.printable == printable)
        #expect(text.onOneLine == oneLine)
    }
}
