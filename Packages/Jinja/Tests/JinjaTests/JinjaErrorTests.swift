import Foundation
import Jinja
import Testing

extension JinjaLimits {
    /// Enough for these tests, and soon reached.
    static let small = JinjaLimits(steps: 150_000, textBytes: 16 << 20, stringBytes: 4 << 20)
}

/// What a caller learns of a failure.
struct JinjaErrorTests {
    private func error(_ source: String, limits: JinjaLimits = .small) -> JinjaError? {
        do throws(JinjaError) {
            _ = try JinjaTemplate(source).render(["messages": [["role": "user"]]], limits: limits)
            return nil
        } catch {
            return error
        }
    }

    @Test(arguments: [
        ("{% if x %}\n{% foo %}", "line 2: unknown tag 'foo'"),
        ("\n\n{{ x | foo }}", "line 3: no filter named 'foo'"),
        ("{{ x is foo }}", "line 1: no test named 'foo'"),
        ("{% include 'x' %}", "line 1: the tag 'include' is not supported"),
        ("{% if x %}\n", "line 1: the template ends before 'endif'"),
        ("{% for x in y %}\n{{ x }\n{% endfor %}", "line 2: unexpected '}'"),
        ("a\n{{ messages[0].content.x }}", "line 2: 'dict object' has no attribute 'content'"),
        ("{% if no %}\n{% elif 1 / 0 %}{% endif %}", "line 2: division by zero"),
        ("{% macro m() %}\n{{ 1 }}{% endmacro %}\n{{ m() + 1 }}", "line 3: can only concatenate str (not \"int\") to str"),
        ("{% break %}", "line 1: 'break' outside of a loop"),
        ("{{ 9223372036854775807 + 1 }}", "line 1: an integer that needs more than 64 bits"),
        ("{{ 99999999999999999999 }}", "line 1: an integer out of range"),
    ])
    func `an error says what is wrong and in which line`(_ source: String, _ message: String) {
        #expect(error(source)?.description == message)
    }

    @Test func `what a template raises is told from what it does wrong`() {
        let raised = error("\n{{ raise_exception('No system role') }}")
        #expect(raised?.raisedMessage == "No system role")
        #expect(raised?.description == "line 2: No system role")
        #expect(error("{{ 1 / 0 }}")?.raisedMessage == nil)
    }

    @Test(arguments: [
        "{{ " + String(repeating: "(", count: 100_000),
        "{{ " + String(repeating: "[", count: 5000) + String(repeating: "]", count: 5000) + " }}",
        "{{ " + String(repeating: "not ", count: 50_000) + "x }}", "{{ " + String(repeating: "-", count: 50_000) + "1 }}",
        "{{ 1" + String(repeating: " + 1", count: 50_000) + " }}", "{{ x" + String(repeating: ".a", count: 50_000) + " }}",
        "{{ x" + String(repeating: "|trim", count: 50_000) + " }}", "{{ x" + String(repeating: "[0]", count: 50_000) + " }}",
        "{{ 1" + String(repeating: " if 1 else 2", count: 50_000) + " }}",
        "{{ x" + String(repeating: " or x", count: 50_000) + " }}", "{{ x" + String(repeating: "()", count: 50_000) + " }}",
        "{{ {1: " + String(repeating: "{1: ", count: 50_000), "{% for " + String(repeating: "(", count: 10_000),
        String(repeating: "{% if x %}", count: 10_000), String(repeating: "{% macro m() %}", count: 10_000),
        String(repeating: "{% set x %}", count: 10_000),
    ])
    func `a template that nests without end is refused`(_ source: String) {
        #expect(error(source)?.kind == .limit)
    }

    @Test(arguments: [
        "{% if x %}" + String(repeating: "{% elif x %}", count: 10_000) + "{% endif %}",
        "{{ 'a' " + String(repeating: "'b' ", count: 10_000) + "}}", "{{ 1" + String(repeating: " ~ 1", count: 10_000) + " }}",
        "{{ [1" + String(repeating: ", 1", count: 10_000) + "] }}", String(repeating: "{{ 1 }}", count: 10_000),
        String(repeating: "(", count: 100_000), "{{ 1" + String(repeating: " < 2 > 1", count: 10_000) + " }}",
    ])
    func `a template that is only long is rendered`(_ source: String) {
        #expect(error(source) == nil)
    }

    @Test(arguments: [
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}",
        "{{ 'x' * 999999999999 }}", "{{ 'x' * 9223372036854775807 }}", "{{ [0] * 999999999999 }}", "{{ range(999999999) }}",
        "{{ range(-9223372036854775807, 9223372036854775807) }}",
        "{% set ns = namespace(x='ab') %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set ns = namespace(x=[]) %}{% for i in range(10000) %}{% set ns.x = [ns.x] %}{% endfor %}",
        "{% set ns = namespace(x=[]) %}{% for i in range(10000) %}{% set ns.x = {'a': ns.x} %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(70) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(70) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x == [ns.x[0]] }}"
            + "{{ ns.x | tojson }}",
        "{% set ns = namespace(x=[]) %}{% for i in range(10000) %}{% for j in [ns.x] %}{% set ns.x = [loop] %}{% endfor %}"
            + "{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(10000) %}{% set ns.x = [1, ns.x]|select %}{% endfor %}",
        "{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}",
        "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
        "{{ '%999999999d' % 1 }}", "{{ '{:>999999999}'.format(1) }}", "{{ 'a'.center(99999999999) }}",
        "{{ 'a'|indent(99999999999) }}",
        "{{ [1]|batch(99999999999, 0)|list }}", "{{ [1]|slice(99999999999)|list }}", "{{ [1]|tojson(indent=99999999999) }}",
        "{% for i in range(100000) %}{{ 'x' * 10000 }}{% endfor %}",
        "{% for i in range(99999) %}{% set a = namespace() %}{% endfor %}",
    ])
    func `a template that works without end is stopped`(_ source: String) {
        #expect(error(source)?.kind == .limit, "\(error(source)?.description ?? "no error")")
    }

    /// Short templates over 2 MB of text, each of which would take too long without an account of every byte.
    private static let onLongText: [String] = {
        let whole: [String] = [
            "{{ ('a ' * 1000000).split() }}",
            "{{ ('a ' * 1000000).rsplit() }}",
            "{{ ('a,' * 1000000).split(',') }}",
            "{{ ('a,' * 1000000).rsplit(',') }}",
            "{{ ('a\n' * 1000000).splitlines() }}",
            "{{ ('a' * 2000000)|list }}",
            "{{ ('a' * 2000000).count('a') }}",
            "{{ ('a' * 2000000)|upper }}",
            "{{ ('X' * 2000000) is upper }}",
            "{{ ('a' * 2000000)|sort }}",
            "{{ ('a\n' * 1000000)|indent }}",
        ]
        let repeated: [String] = [
            "{{ a == b }}",
            "{{ a < b }}",
            "{{ d[a] }}",
            "{{ a in d }}",
            "{{ d.get(a) }}",
            "{{ a[::-1]|length }}",
            "{{ a|tojson|length }}",
            "{{ (a % ())|length }}",
            "{{ a.split('y')|length }}",
            "{{ a.replace('', '')|length }}",
            "{{ a|reverse|length }}",
            "{{ a|escape|length }}",
        ]
        let start = "{% set a = 'x' * 2000000 %}{% set b = a ~ '' %}{% set d = {1:1,2:2,3:3,4:4,5:5,6:6,7:7,8:8,9:9} %}"
        let joined = Array(repeating: "a", count: 200).joined(separator: " ~ ")
        return whole + ["\(start){{ \(joined) }}"]
            + repeated.map { "\(start){% for i in range(100000) %}\($0){% endfor %}" }
    }()

    @Test(arguments: onLongText)
    func `a template that goes over a long text again and again is stopped`(_ source: String) {
        let found = error(source, limits: JinjaLimits(steps: 100_000, textBytes: 32 << 20, stringBytes: 4 << 20))
        #expect(found?.kind == .limit, "\(found?.description ?? "no error")")
    }

    @Test func `no message of a template is larger than a client should be told`() {
        let raised = error("{{ raise_exception('é' * 3000000) }}", limits: JinjaLimits())
        #expect(raised?.kind == .raised)
        #expect(raised?.raisedMessage == String(repeating: "é", count: 1000) + "… and 5998000 bytes more")
        for source in ["{{ [1].index('x' * 3000000) }}", "{{ x['y' * 3000000].z }}", "{{ {}['y' * 3000000].z }}"] {
            #expect(error(source, limits: JinjaLimits()).map { $0.description.utf8.count < 2100 } == true, "\(source)")
        }
        #expect(error("{{ raise_exception('short') }}")?.raisedMessage == "short")
    }

    @Test(arguments: [
        "{{ -9223372036854775807 - 1 }}", "{{ (-9223372036854775807 - 1) // -1 }}", "{{ (-9223372036854775807 - 1) % -1 }}",
        "{{ -(-9223372036854775807 - 1) }}", "{{ (-9223372036854775807 - 1)|abs }}",
        "{{ 3 ** 999999 }}", "{{ 1e308 * 10 }}",
        "{{ (1e308 * 10)|int }}", "{{ [1,2,3][9223372036854775807:] }}", "{{ [1,2,3][::9223372036854775807] }}",
        "{{ [1,2,3][-9223372036854775807 - 1::-9223372036854775807 - 1] }}", "{{ 'abc'[-9223372036854775807 - 1] }}",
        "{{ [1][-9223372036854775807 - 1] }}", "{{ range(5)[-9223372036854775807 - 1] }}", "{{ 'abc'[9223372036854775807] }}",
        "{{ range(-9223372036854775807 - 1, -9223372036854775807, 9223372036854775807)|list }}",
        "{{ 'x'|truncate(9223372036854775807) }}",
        "{{ range(5, -9223372036854775807, -9223372036854775807 - 1)|list }}",
        "{{ '12'|int(base=99) }}",
        "{{ 1|round(9999999) }}",
        "{{ 'a'.split('b', -9223372036854775807 - 1) }}", "{{ 'x' * (-9223372036854775807 - 1) }}",
        "{{ 1e300|int }}",
        "{{ 'a'.find('a', -9223372036854775807 - 1) }}", "{{ [1,2]|batch(-1)|list }}", "{{ [1,2]|slice(-1)|list }}",
        "{{ '{99999999999999999999}'.format(1) }}", "{{ '{:.99999}'.format(1.5) }}",
        "{{ ''|first }}{{ ''.title() }}{{ ''|capitalize }}",
        "{{ 'a'|center(-9223372036854775807 - 1) }}", "{{ 1.5 // 1e-320 }}",
        "{{ [1]|tojson(indent=-5) }}", "{{ 'a'.zfill(3) }}",
        "{{ 'abc'|truncate(9223372036854775807, true, '', 9223372036854775807) }}",
        "{{ '+'.zfill(0) }}{{ '%.0f' % 0.5 }}{{ '%' % 1 }}",
    ])
    func `no number makes a template crash`(_ source: String) {
        _ = error(source)
    }

    private static let plain = JinjaSettings(
        trimsBlocks: false, lstripsBlocks: false, keepsTrailingNewline: true, isStrict: true)

    /// What jinja2 3.1 gives with `Environment(undefined=StrictUndefined, keep_trailing_newline=True)` and x = 1.
    @Test(arguments: [
        ("a\n", "a\n"), ("{% if x %}\n b\n  {% endif %}\nc\n", "\n b\n  \nc\n"), ("{# c #}\nd", "\nd"),
        ("{%- if x %} e {%- endif %}\n", " e\n"), ("{% raw %}\n{{ x }}{% endraw %}\n\r\n", "\n{{ x }}\n\n"),
        ("  {% set y = 1 %}{{ y }}", "  1"), ("{{ z is defined }}", "False"), ("{{ z|default('d') }}", "d"),
        ("{{ [z] }}", "[Undefined]"),
    ])
    func `white space is kept where an environment says so`(source: String, expected: String) throws {
        #expect(try JinjaTemplate(source, settings: Self.plain).render(["x": 1]) == expected)
    }

    @Test(arguments: [
        "{{ z }}", "{% if z %}{% endif %}", "{% for q in z %}{% endfor %}", "{{ z == 1 }}", "{{ not z }}", "{{ z or 1 }}",
        "{{ 'a' if z else 'b' }}", "{{ z ~ 'a' }}", "{{ z in [1] }}", "{{ z|length }}",
    ])
    func `an undefined variable is an error wherever it is used, where an environment says so`(source: String) throws {
        let error = #expect(throws: JinjaError.self) {
            try JinjaTemplate(source, settings: Self.plain).render(["x": 1])
        }
        #expect(error?.reason == "'z' is undefined")
        #expect(throws: Never.self) { try JinjaTemplate("{{ z }}{% if z %}{% endif %}").render([:]) }
    }
}
