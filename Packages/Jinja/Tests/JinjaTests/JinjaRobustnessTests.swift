import Foundation
import Jinja
import Testing

/// Templates that nobody wrote.
struct JinjaRobustnessTests {
    /// A small generator, so that every run sees the same templates.
    private struct SplitMix {
        var state: UInt64

        mutating func below(_ count: Int) -> Int {
            state &+= 0x9E37_79B9_7F4A_7C15
            var value = state
            value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
            value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
            return Int((value ^ (value >> 31)) % UInt64(count))
        }
    }

    private static let pieces: [[UInt8]] = [
        "{{", "}}", "{%", "%}", "{#", "#}", "-%}", "{%-", "(", ")", "[", "]", "[::-1]", "|", "~", "*", "**", "//", "%", "'", "\"",
        "\\", ".", ",", ":", "=", "==", "<", "-", "-9223372036854775808", "9223372036854775807", "0", "1e308", " not ", " in ",
        " is ", " if ", " else ", "loop", "namespace()", "range(9)", "none", "missing", "|tojson", "|list", "|first", "|int",
        "|map('upper')", "|sort", "|length", ".items()", ".split()", ".format(1)", "{% endfor %}", "{% endif %}",
        "{% for x in messages recursive %}", "{% if x %}", "{% set x = [x, x] %}", "{% macro m(a) %}", "{% endmacro %}", "m(m)",
        "{% raw %}", "{% endraw %}", "{% generation %}", "{% break %}", "é", "\u{1F469}\u{200D}", "\r\n",
    ].map { Array($0.utf8) }

    @Test func `no change to a template makes it crash`() {
        var random = SplitMix(state: 1)
        let sources = JinjaFixtures.shared.sources.map { Array($0.utf8) }
        let root = JinjaFixtures.shared.root
        var variables = root["variables"].variables
        variables["add_generation_prompt"] = true
        let limits = JinjaLimits(steps: 3000, textBytes: 1 << 17, stringBytes: 1 << 16)
        var rendered = 0
        for _ in 0..<24_000 {
            var bytes = sources[random.below(sources.count)]
            if bytes.count > 900 {
                // A part of a long template, to be fast.
                let start = random.below(bytes.count - 800)
                bytes = Array(bytes[start..<(start + 800)])
            }
            for _ in 0...random.below(4) {
                let place = random.below(bytes.count + 1)
                let end = min(bytes.count, place + random.below(8))
                switch random.below(5) {
                case 0: bytes.removeSubrange(place..<end)
                case 1:
                    let other = sources[random.below(sources.count)]
                    let start = random.below(other.count + 1)
                    bytes.insert(contentsOf: other[start..<min(other.count, start + random.below(40))], at: place)
                case 2: bytes.replaceSubrange(place..<end, with: [UInt8(random.below(256))])
                default: bytes.insert(contentsOf: Self.pieces[random.below(Self.pieces.count)], at: place)
                }
            }
            let template = try? JinjaTemplate(String(decoding: bytes, as: UTF8.self))
            if (try? template?.render(variables, limits: limits)) != nil { rendered += 1 }
        }
        #expect(rendered > 1000)
    }

    @Test func `a template renders in many tasks at once`() async throws {
        let template = try JinjaTemplate(
            "{% set ns = namespace(s=0) %}{% for i in range(n) %}{% set ns.s = ns.s + i %}{% endfor %}{{ ns.s }}")
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for count in 0..<50 {
                group.addTask { try template.render(["n": .int(count)]) == String(count * (count - 1) / 2) }
            }
            for try await isRight in group { #expect(isRight) }
        }
    }

    @Test func `variables that nest without end are refused`() throws {
        var value: JinjaValue = 1
        for _ in 0..<200 { value = [value] }
        let template = try JinjaTemplate("{{ x }}")
        #expect(throws: JinjaError.self) { try template.render(["x": value]) }
    }
}
