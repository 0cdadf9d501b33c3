import TestSupport
import Testing

@testable import Evaluation

/// Evaluations by name and settings, as recipes and `--tasks` have them.
@Suite struct EvaluationSpecTests {
    private let scratch = ScratchDirectory()

    @Test func `settings are read in any order, and a part without an equals sign belongs to the value before it`() throws {
        let spec = try EvaluationSpec("passkey:trials=50,lengths=512,1024,queryAware=true")
        #expect(spec.given["lengths"] == .integers([512, 1024]) && spec.given["trials"] == .integer(50))
        #expect(spec.isQueryAware && spec.chat == "never" && spec.aimedTokens == 1033)
        #expect(spec.description == "passkey:lengths=512,1024,trials=50,queryAware=true")
        #expect(try EvaluationSpec(spec.description) == spec)
        let needle = try EvaluationSpec("needle:haystack=a.txt,b.txt,needle=Eat, then sleep.,question=What then?,answer=sleep")
        #expect(needle.given["needle"] == .text("Eat, then sleep.") && needle.given["haystack"] == .texts(["a.txt", "b.txt"]))
        let task = try EvaluationSpec("task:file=t.yaml,data=test=a.jsonl,train=b.jsonl,shots=2")
        #expect(task.given["data"] == .texts(["test=a.jsonl", "train=b.jsonl"]) && task.given["shots"] == .integer(2))
        #expect(try EvaluationSpec("passkey").description == "passkey")
    }

    @Test func `every setting's example is spelled and read back`() throws {
        for kind in EvaluationKinds.all {
            for setting in kind.settings {
                #expect(setting.value("\(setting.example)") == setting.example, "\(kind.name) \(setting.key)")
                if let fallback = setting.fallback { #expect(setting.value("\(fallback)") == fallback) }
            }
            #expect(Set(kind.settings.map(\.key)).count == kind.settings.count, "\(kind.name)")
        }
    }

    @Test(arguments: [
        (
            "passkeys",
            "'passkeys' is no evaluation; they are passkey, needle, babilong, longbench, longbench2, ruler, gsm8k, mmlu, task, dialogue"
        ),
        ("passkey:512", "'512' is no setting of passkey, expected KEY=VALUE"),
        (
            "passkey:length=512",
            "'length' is no setting of passkey; its keys are haystack, lengths, depths, trials, seed, maxNew, chat, queryAware"
        ),
        ("passkey:lengths=512,0", "lengths: '512,0', expected different numbers from 1 with commas between"),
        ("passkey:lengths=512,512", "lengths: '512,512', expected different numbers from 1 with commas between"),
        ("passkey:trials=1,trials=2", "trials: is set twice"),
        ("passkey:depths=0", "depths: '0', expected 1 to 1000"),
        ("passkey:queryAware=yes", "queryAware: 'yes', expected true or false"),
        ("needle", "haystack: is missing, texts around the needle, one behind the other; old books are free"),
        ("ruler:data=x,chat=ever", "chat: 'ever', expected never, auto, always"),
    ])
    func `what cannot be is refused with its key`(text: String, sentence: String) {
        let fault = #expect(throws: EvaluationFault.self) { try EvaluationSpec(text) }
        #expect(fault?.description == sentence)
    }

    @Test(arguments: [
        ("passkey", "`lengths`, not `trial`", "--lengths, not `trial`"),
        ("babilong", "`maxNew` and `bare`", "--max-new and --bare"),
    ])
    func `settings in backticks are spelled as options on a command line`(name: String, text: String, spelled: String) {
        #expect(EvaluationKinds.named(name)?.withOptions(text) == spelled)
    }

    @Test func `a fault on a command line names its option once`() throws {
        func sentence(_ text: String) throws -> String {
            let spec = try EvaluationSpec(text)
            let fault = #expect(throws: EvaluationFault.self) { try spec.check() }
            return try #require(fault).sentence(for: spec.kind)
        }
        #expect(try sentence("babilong:prompts=p,data=d,seed=2") == "--seed has no effect without --babi")
        #expect(try sentence("babilong:prompts=p,babi=d") == "--babi and --haystack belong together")
        #expect(try sentence("ruler:data=d,tasks=vt,vt") == "--tasks is 'vt,vt', which names one twice")
        #expect(try sentence("task:file=f,multiTurn=true") == "--multi-turn has no effect without --chat auto or always")
        let fault = #expect(throws: EvaluationFault.self) { try EvaluationSpec("gsm8k:data=d") }
        #expect(fault?.sentence(for: GSM8KEvaluation.self).hasPrefix("name the worked examples with --prompts: the file") == true)
    }

    @Test func `settings that do not go together and missing files are refused when files are read`() throws {
        func sentence(_ text: String) -> String {
            do {
                _ = try EvaluationSpec(text).make()
                return "accepted"
            } catch { return "\(error)".replacing(scratch.path + "/", with: "") }
        }
        let path = scratch.path
        #expect(
            sentence("babilong:prompts=p.py")
                == "name either 'data', BABILong's own files, or 'babi' and 'haystack', to make samples from")
        #expect(sentence("babilong:prompts=p.py,data=d,seed=2") == "seed: has no effect without 'babi'")
        #expect(sentence("needle:haystack=\(path)/none.txt").contains("none.txt: cannot open"))
        try scratch.write(Array("A book. It ends.".utf8), to: "book.txt")
        #expect(
            sentence("needle:haystack=\(path)/book.txt,needle=x")
                == "'needle', 'question' and 'answer' belong together, and none is empty")
        #expect(sentence("gsm8k:data=d,prompts=p,multiTurn=true") == "multiTurn: has no effect without 'chat' auto or always")
        #expect(sentence("passkey:lengths=512,trials=2") == "accepted")
        let work = try EvaluationSpec("passkey:lengths=512,trials=2,depths=3").make()
        #expect(work.count == 6 && work.files.isEmpty)
    }

    @Test func `RULER's prompts are made where lengths are named, and need the files of their tasks`() throws {
        func sentence(_ text: String) -> String {
            do {
                _ = try EvaluationSpec(text).make()
                return "accepted"
            } catch { return "\(error)" }
        }
        let suites = RULERMakerTests.suites
        #expect(
            sentence("ruler:prompts=p.py")
                == "name either 'data', files of RULER's generators, or 'lengths', to make prompts of")
        #expect(sentence("ruler:data=d,squad=s.json") == "squad: has no effect without 'lengths'")
        #expect(sentence("ruler:lengths=4096").hasPrefix("prompts: name RULER's texts with 'prompts': the file scripts/data/"))
        #expect(sentence("ruler:lengths=4096,prompts=p.py,tasks=x").contains("has 'x'; the tasks are niah_single_1, "))
        #expect(
            sentence("ruler:lengths=4096,prompts=\(suites)constants.py,tasks=vt,qa_1")
                == "squad: qa_1 is made from SQuAD's dev-v2.0.json (rajpurkar.github.io/SQuAD-explorer); name it with 'squad'")
        let spec = try EvaluationSpec("ruler:lengths=2048,4096,prompts=\(suites)constants.py,limit=3")
        // The tasks that need no other files.
        #expect(try spec.make().count == 6 * 2 * 3 && spec.aimedTokens == 4095)
        #expect(try EvaluationSpec("ruler:data=d").aimedTokens == nil)
    }

    @Test func `conversations have the server's chats, grids the ones that are asked for`() throws {
        #expect(try EvaluationSpec("dialogue:data=\(RULERMakerTests.suites)dialogue.jsonl").chat == "served")
        #expect(try EvaluationSpec("passkey:chat=auto").chat == "auto" && EvaluationSpec("passkey").chat == "never")
        let suites = RULERMakerTests.suites
        let work = try EvaluationSpec("longbench2:data=\(suites)longbench2.json,prompts=\(suites)").make()
        #expect(work.count == 2 && work.files == [suites + "longbench2.json", suites + "/0shot.txt"])
    }
}
