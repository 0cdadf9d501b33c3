import Jinja
import Testing

/// What the `generation` blocks of a template wrote.
@Suite struct GenerationTests {
    private func generated(_ template: String) throws -> [String] {
        let (text, ranges) = try JinjaTemplate(template).renderMarkingGeneration(["names": ["é", "b"]])
        #expect(try JinjaTemplate(template).render(["names": ["é", "b"]]) == text)
        return ranges.map { String(decoding: Array(text.utf8)[$0], as: UTF8.self) }
    }

    @Test(arguments: [
        ("a{% generation %}b{% endgeneration %}c", ["b"]),
        ("é{% for name in names %}<{% generation %}{{ name }}!{% endgeneration %}>{% endfor %}", ["é!", "b!"]),
        ("a {%- generation %} b {%- endgeneration %} c", [" b"]),
        ("{% if false %}{% generation %}b{% endgeneration %}{% endif %}c", []),
        ("a{% generation %}{% endgeneration %}", []),
        (
            "{% for name in names %}{% set x %}{{ name }}{% endset %}{% generation %}{{ x }}{% endgeneration %}{% endfor %}",
            ["é", "b"]
        ),
        // Where captured text goes is not known, and may be nowhere.
        ("{% set x %}{% generation %}b{% endgeneration %}{% endset %}a{{ x }}{% generation %}c{% endgeneration %}", ["c"]),
        ("{% macro m() %}{% generation %}b{% endgeneration %}{% endmacro %}{{ m() }}{% generation %}c{% endgeneration %}", ["c"]),
    ])
    func `ranges are those of the text that blocks wrote`(template: String, expected: [String]) throws {
        #expect(try generated(template) == expected)
    }
}
