import Foundation
import Jinja
import Testing

/// How deep the limits let a template go, on the stack of a thread.
struct JinjaStackTests {
    /// Renders each template on a thread of its own with `kilobytes` of stack.
    private func render(_ sources: [String], kilobytes: Int) {
        let done = DispatchSemaphore(value: 0)
        let thread = Thread {
            for source in sources { _ = try? JinjaTemplate(source).render([:], limits: .small) }
            done.signal()
        }
        thread.stackSize = kilobytes << 10
        thread.start()
        done.wait()
    }

    #if DEBUG
        // Unoptimised frames are four times as large.
        private let kilobytes = 4096
    #else
        private let kilobytes = 640
    #endif

    @Test func `the deepest templates fit the stack of a thread`() {
        let sum = "1" + String(repeating: " + 1", count: 100)
        let brackets = String(repeating: "[", count: 55) + "1" + String(repeating: "]", count: 55)
        let blocks = (String(repeating: "{% if 1 %}", count: 55), String(repeating: "{% endif %}", count: 55))
        let loops = (String(repeating: "{% for x in [1] %}", count: 55), String(repeating: "{% endfor %}", count: 55))
        render(
            [
                "{{ \(sum) }}{{ \(brackets) }}", "{{ " + String(repeating: "(", count: 200) + " }}",
                "{{ " + String(repeating: "x(", count: 58) + String(repeating: ")", count: 58) + " }}",
                "{{ " + String(repeating: "x|d(", count: 58) + String(repeating: ")", count: 58) + " }}",
                "{% macro m() %}\(blocks.0){{ m() }}\(blocks.1){% endmacro %}{{ m() }}",
                "{% macro m() %}\(loops.0){{ m() }}\(loops.1){% endmacro %}{{ m() }}",
                "{% macro m(a) %}{{ m(m(m(m(m(m(m(1))))))) }}{% endmacro %}{{ m() }}",
                "{% macro m(a) %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{{ m() }}",
                "{% macro m(a) %}{{ 1 + (1 + (1 + (1 + m()|trim|length))) }}{% endmacro %}{{ m() }}",
                "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
                "{% for x in [1] recursive %}{% filter trim %}{% set y %}{{ loop([1]) }}{% endset %}{% endfilter %}{% endfor %}",
                "{% set ns = namespace(x=[]) %}{% for i in range(79) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}{{ ns.x|tojson }}"
                    + "{{ ns.x == ns.x }}{{ ns.x < ns.x }}",
            ],
            kilobytes: kilobytes)
    }
}
