import Testing

@testable import Experiments

/// Figures like those of a real lab.
enum SampleTable {
    static let table = ComparisonTable(
        text: "validation part of a.txt, window 256", contextTokens: 4096, batch: 2, kvDtype: "fp16",
        rows: [
            row("parent", "MHA", 6144, 1.3821),
            row("parent continued", "MHA", 6144, 1.3760, difference: -0.0061, error: 0.0007, tokens: 245_760),
            row("kv2-mean", "GQA-2", 1536, 1.4055, before: 1.672, difference: 0.0234, error: 0.0013, tokens: 245_760),
            row("kv2-random", "GQA-2", 1536, 1.4312, before: 2.601, difference: 0.0491, error: 0.0015, tokens: 245_760),
            row("kv1-<mean>", "MQA", 768, 1.4222, before: 2.072, difference: 0.0401, error: 0.0014, tokens: 245_760),
        ])

    private static func row(
        _ name: String, _ attention: String, _ bytes: Int, _ bits: Double, before: Double? = nil, difference: Double? = nil,
        error: Double? = nil, tokens: Int? = nil
    ) -> ComparisonRow {
        ComparisonRow(
            name: name, attention: attention, kvBytesPerToken: bytes, cacheBytes: bytes * 8192, parameters: 5_850_000,
            bitsPerByteBefore: before, perplexity: 20 * bits, bitsPerByte: bits, difference: difference, standardError: error,
            uptrainedTokens: tokens)
    }
}

struct ComparisonTableTests {
    @Test func `a terminal gets aligned columns, without those nobody fills`() {
        let expected = """
            validation part of a.txt, window 256; cache in fp16; differences are to parent, paired over windows.

            model             attention  KV bytes/token  cache at 4096×2  parameters  bits/byte before     ppl  bits/byte  difference  ± s.e.  uptrained tokens
            ────────────────  ─────────  ──────────────  ───────────────  ──────────  ────────────────  ──────  ─────────  ──────────  ──────  ────────────────
            parent            MHA                 6,144         48.0 MiB   5,850,000                 –  27.642     1.3821           –       –                 –
            parent continued  MHA                 6,144         48.0 MiB   5,850,000                 –  27.520     1.3760     -0.0061  0.0007           245,760
            kv2-mean          GQA-2               1,536         12.0 MiB   5,850,000            1.6720  28.110     1.4055     +0.0234  0.0013           245,760
            kv2-random        GQA-2               1,536         12.0 MiB   5,850,000            2.6010  28.624     1.4312     +0.0491  0.0015           245,760
            kv1-<mean>        MQA                   768         6.00 MiB   5,850,000            2.0720  28.444     1.4222     +0.0401  0.0014           245,760
            """
        #expect(SampleTable.table.plain == expected)
    }

    @Test func `Markdown has one line a model and its bars escaped`() {
        var table = SampleTable.table
        table.rows[0].name = "a|b"
        let lines = table.markdown.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines[0].hasPrefix("| model | attention | KV bytes/token |"))
        #expect(lines[1].hasPrefix("| --- | --- | ---: |"))
        #expect(lines[2].hasPrefix("| a\\|b | MHA | 6,144 | 48.0 MiB |"))
        #expect(lines.count == 9)
    }

    @Test func `JSON gives the table back, figures that are not finite included`() throws {
        #expect(try ComparisonTable(json: SampleTable.table.json) == SampleTable.table)
        var table = SampleTable.table
        table.rows[1].perplexity = .infinity
        let copy = try ComparisonTable(json: table.json)
        #expect(copy.rows[1].perplexity == .infinity)
        #expect(table.json.contains("\"kvBytesPerToken\" : 6144"))
    }

    @Test func `digits are grouped in threes`() {
        let cases = [
            (0, "0"), (999, "999"), (1000, "1,000"), (-12_345_678, "-12,345,678"), (Int.min, "-9,223,372,036,854,775,808"),
        ]
        for (value, text) in cases { #expect(groupedDigits(value) == text) }
    }

    @Test func `byte counts have three significant digits`() {
        let cases = [
            (0, "0 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (1536, "1.50 KiB"), (524_288, "512 KiB"), (25_165_824, "24.0 MiB"),
            (1 << 31, "2.00 GiB"), (1 << 42, "4.00 TiB"),
        ]
        for (value, text) in cases { #expect(byteCountText(value) == text) }
    }

    @Test func `durations read as people say them`() {
        let cases: [(Double, String)] = [
            (0, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (185, "3 min 5 s"), (7800, "2 h 10 min"), (.infinity, "?"),
        ]
        for (value, text) in cases { #expect(ProgressReporter.duration(value) == text) }
    }

    @Test func `CSV has every figure in full and quotes what has a comma`() {
        var table = SampleTable.table
        table.rows[2].name = "kv2, \"mean\""
        let lines = table.csv.components(separatedBy: "\r\n")
        #expect(lines.count == 7 && lines[6].isEmpty)
        #expect(lines[0].hasPrefix("name,attention,kv_bytes_per_token,"))
        #expect(lines[3] == "\"kv2, \"\"mean\"\"\",GQA-2,1536,12582912,5850000,,1.672,28.11,1.4055,0.0234,0.0013,,245760,,")
    }
}
