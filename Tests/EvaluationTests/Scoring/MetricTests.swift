import Testing

@testable import Evaluation

@Suite struct MetricTests {
    @Test(arguments: [
        ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"), ("ΣΑΣ. Σ", "σας. σ"), ("Α\u{301}Σ", "α\u{301}ς"), ("ΑΣ\u{301}Β", "ασ\u{301}β"),
        ("İ", "i\u{307}"),
        ("ÀB", "àb"),
    ])
    func `text is lower-cased as in Python, with the final sigma`(text: String, expected: String) {
        #expect(PythonText(text).lowercased == PythonText(expected))
    }

    @Test func `texts that Unicode calls equivalent differ, as in Python`() {
        #expect(PythonText("é") != PythonText("e\u{301}"))
        #expect(WordF1.score(PythonText("é"), PythonText("e\u{301}")) == 0)
        #expect(PythonText("a\r\nb").parts(at: "\n").map(\.string) == ["a\r", "b"])
    }

    @Test func `white space has the separators U+001C to U+001F, digits those of every script`() {
        #expect(PythonText("a\u{1C}b\u{1F}\u{A0}c\u{200B}d").words.map(\.string) == ["a", "b", "c\u{200B}d"])
        #expect(PythonText("x12٣४-½²7").decimalRuns.map(\.string) == ["12٣४", "7"])
    }

    @Test func `articles go where they are whole words`() {
        // Words are "cat", "theater" and "é" beside the articles; the hyphen goes first, so "a-an" is "aan".
        #expect(WordF1.score(PythonText("The cat, a theater, an é!"), PythonText("cat theater é")) == 1)
        #expect(WordF1.score(PythonText("a-an"), PythonText("aan")) == 1)
        #expect(WordF1.score(PythonText("the"), PythonText("a")) == 0)
    }

    @Test func `ROUGE-L by hand, over sets of words and sentences`() {
        // Reference a b c d, prediction "a c" and "d b": LCS {a, c} and {d} or {b}. On the tie the step goes left in the prediction,
        // which leaves d: union {a, c, d}, P = 3/4, R = 3/4.
        let score = RougeL(PythonText("a c. d b"), PythonText("a b c d")).score
        #expect(abs(score - 2 * (0.75 * 0.75) / (1.5 + 1e-8)) < 1e-15)
        #expect(RougeL(PythonText(""), PythonText("a")).score == 0)
        #expect(RougeL(PythonText("..."), PythonText("a")).score == 0)
    }

    @Test func `a class inside the answer is dropped, and the class after it is not looked at`() {
        let classes = ["Other", "Other entity", "entity", "entity"].map { PythonText($0) }
        // Found: all. "Other" goes, which moves "Other entity" into its place: the next looked at is "entity", whose first goes.
        #expect(Classification.score(PythonText("Other entity"), PythonText("Other entity"), classes: classes) == 0.5)
        #expect(Classification.score(PythonText("Other"), PythonText("Other entity"), classes: classes) == 0)
    }

    @Test(arguments: [
        ("abcd", "bcde", 0.75), ("private Thread currentThread;", "private volatile Thread currentThread;", 0.866), ("", "", 1),
        ("a", "b", 0),
    ])
    func `the ratio of similarity is difflib's`(left: String, right: String, expected: Double) {
        // The first two are the examples of difflib's documentation.
        let ratio = SequenceMatcher(Array(left.unicodeScalars), Array(right.unicodeScalars)).ratio
        #expect(abs(ratio - expected) < 5e-4)
    }

    @Test func `elements that are over one per cent of a long line start no match`() {
        let left = Array(("x" + String(repeating: "ab", count: 100)).unicodeScalars)
        let right = Array((String(repeating: "ab", count: 100) + "y").unicodeScalars)
        #expect(SequenceMatcher(left, right).ratio == 0)
        // One that is rare starts a match, which popular ones extend.
        let (marked, rest) = (Array("zy".unicodeScalars) + right.dropLast(), Array("y".unicodeScalars) + right.dropLast())
        #expect(SequenceMatcher(marked, rest).ratio == 2 * 201 / 403.0)
    }

    @Test(arguments: [
        (2.675, 2, 2.67), (0.125, 2, 0.12), (0.375, 2, 0.38), (58.335, 2, 58.34), (50.05, 1, 50.0), (1e22, 2, 1e22),
    ])
    func `numbers are rounded as Python's round does`(value: Double, digits: Int, expected: Double) {
        #expect(PythonRounding.rounded(value, digits: digits) == expected)
    }

    @Test func `NumPy rounds in binary and sums in pairs`() {
        // 2.675 · 100 is 267.49999999999994, and 58.335 · 100 is 5833.5 in binary.
        #expect(PythonRounding.numpyRounded(58.335, digits: 2) == 58.34)
        #expect(PythonRounding.numpyRounded(0.285, digits: 2) == 0.28)
        // numpy.mean, figures of NumPy 2.4.
        #expect(PythonRounding.numpyMean([0.1, 0.2, 0.3]) == 0.20000000000000004)
        #expect(PythonRounding.numpyMean((1...300).map { 1 / Double($0) }) == 0.02094221293433168)
        #expect(PythonRounding.numpyMean(Array(repeating: 0.1, count: 300)) == 0.09999999999999999)
    }

    @Test(arguments: [
        ("The answer is 5\n", "[invalid]"), ("The answer is 18\n", "1"), ("The answer is -3 The answer is 4.", "-3"),
        ("The answer is - The answer is 4.0.", "4.0"), ("The answer is The answer is 7 ", "7"),
    ])
    func `GSM8K's strict match lets one character follow that is no newline`(text: String, expected: String) {
        #expect(GSM8K.scoring.extracted(text, filter: "strict-match") == expected)
    }

    @Test(arguments: [("a -$ b", "[invalid]"), ("1 - 2", "2"), ("--5", "-5"), ("$5", "$5"), ("3-4.", "-4."), ("$ 7 .", "7")])
    func `GSM8K's flexible extraction takes the last number`(text: String, expected: String) {
        #expect(GSM8K.scoring.extracted(text, filter: "flexible-extract") == expected)
    }
}
