import Foundation
import TestSupport
import Testing

@testable import Console

@Suite(.timeLimit(.minutes(10))) struct BackgroundWriterTests {
    private let pipe = TestPipe()

    @Test func `texts are written in order, and a flush waits for them`() {
        let writer = BackgroundWriter(descriptor: pipe.writing)
        for number in 0..<200 { writer.write("line \(number)\n") }
        #expect(writer.flush(within: 60))
        #expect(pipe.text { $0.hasSuffix("line 199\n") } == (0..<200).map { "line \($0)\n" }.joined())
    }

    @Test func `nobody waits for a reader that reads nothing, and once it reads it is told what it has missed`() throws {
        pipe.fill()
        let writer = BackgroundWriter(descriptor: pipe.writing, limit: 20_000)
        for number in 0..<5000 { writer.write("a line of the log, number \(number)\n") }
        #expect(!writer.flush(within: 0.05))
        writer.settle()
        func missed(_ lines: [Substring]) -> Int {
            lines.filter { $0.hasPrefix("kvlab: ") }.compactMap { Int($0.split(separator: " ")[1]) }.reduce(0, +)
        }
        func found(_ lines: [Substring]) -> [Int] {
            lines.filter { $0.hasPrefix("a line of the log, number ") }.compactMap { Int($0.split(separator: " ")[6]) }
        }
        // All are accounted for; the notice stands in front of lines that were taken before.
        let text = pipe.text { text in
            let lines = text.hasSuffix("\n") ? text.split(separator: "\n") : []
            return missed(lines) > 0 && found(lines).count + missed(lines) == 5000
        }
        let numbers = found(text.split(separator: "\n"))
        // The first ones had room in the queue.
        #expect(!numbers.isEmpty && numbers == Array(0..<numbers.count))
        #expect(writer.flush(within: 60))
        writer.write("the next\n")
        #expect(pipe.text { $0.hasSuffix("\n") } == "the next\n")
    }

    @Test func `on a full disk lines are lost, and counted when there is room again`() {
        let descriptor = open("/dev/full", O_WRONLY | O_CLOEXEC)
        defer { close(descriptor) }
        let writer = BackgroundWriter(descriptor: descriptor)
        for number in 0..<3 { writer.write("line \(number)\n") }
        #expect(writer.flush(within: 60))
        #expect(dup2(pipe.writing, descriptor) == descriptor)
        writer.write("line 3\n")
        #expect(writer.flush(within: 60))
        #expect(pipe.text { $0.hasSuffix("3\n") } == "kvlab: 3 lines could not be written here\nline 3\n")
    }

    @Test func `a line whose reader went away is lost, and nothing else happens`() {
        #expect(!Descriptor(number: pipe.writing).hasLostReader)
        pipe.closeReading()
        #expect(Descriptor(number: pipe.writing).hasLostReader)
        let writer = BackgroundWriter(descriptor: pipe.writing)
        writer.write("line\n")
        #expect(writer.flush(within: 60))
        #expect(Descriptor(number: pipe.writing).write([1]).errno == EPIPE)
    }

    @Test func `a descriptor that somebody else made non-blocking still gets every byte`() async {
        #expect(fcntl(pipe.writing, F_SETFL, O_NONBLOCK) == 0)
        let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 * 7 + $0 >> 9) }
        let pipe = pipe
        let reader = Task.detached {
            var found: [UInt8] = []
            while found.count < 300_000 {
                found += pipe.read()
                usleep(500)
            }
            return found
        }
        let written = await Task.detached { Descriptor(number: pipe.writing).write(bytes) }.value
        #expect(written.count == bytes.count && written.errno == 0)
        #expect(await reader.value == bytes)
    }

    @Test func `errors are told in the system's words, and a reader that went away is told apart`() {
        #expect(
            OutputError.unwritable(errno: ENOSPC).description == "standard output could not be written: No space left on device")
        #expect(OutputError.unwritable(errno: EPIPE).readerIsGone && !OutputError.unwritable(errno: ENOSPC).readerIsGone)
    }
}
