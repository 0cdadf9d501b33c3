import Autograd
import Models
import TestSupport
import Testing

@Suite struct PyTorchReferenceTests {
    static let names = ["gqa_untied", "mqa_tied_packed", "latent", "cross_layer_packed", "yoco", "sinks_packed"]

    @Test(arguments: names)
    func `the whole model's loss and gradients equal PyTorch's`(name: String) throws {
        let reference = try ModelReference(name)
        let config = reference.figures.config
        var tensors: [String: Tensor] = [:]
        for (name, shape) in config.weightShapes {
            let weight = try #require(reference.parameters[name])
            tensors[name] = .variable(Tensor(shape: Shape(shape), storage: weight.float32()))
        }
        let model = try DecoderLM(config: config, tensors: tensors)
        let loss = model.loss(reference.input, targets: reference.figures.targets)
        // Float32 throughout, two layers: relative errors of a few 10⁻⁷ a step.
        #expect(abs(Double(loss.scalar) - reference.figures.loss) < 5e-6)
        let gradients = loss.gradients()
        for (name, shape) in config.weightShapes {
            let variable = try #require(tensors[name])
            let expected = try #require(reference.tensors["gradient." + name])
            #expect(expected.shape == shape)
            let found = try #require(gradients[variable], "no gradient for \(name)")
            // A sum over 26 positions cancels: errors are relative to the largest element, not to each.
            let largest = expected.values.map { abs(Double($0)) }.max() ?? 0
            #expect(differences(found.values, expected.values, absolute: 5e-6 * largest + 1e-7) == [], "\(name)")
        }
    }

    @Test(arguments: names)
    func `logits equal PyTorch's`(name: String) throws {
        let reference = try ModelReference(name)
        let model = try DecoderLM(config: reference.figures.config, parameters: reference.parameters)
        let expected = try #require(reference.tensors["logits"])
        #expect(differences(model.logits(reference.input).values, expected.values, absolute: 2e-5) == [])
    }

    @Test(arguments: names)
    func `losses of single positions average to the loss`(name: String) throws {
        let reference = try ModelReference(name)
        let model = try DecoderLM(config: reference.figures.config, parameters: reference.parameters)
        let losses = model.losses(reference.input, targets: reference.figures.targets)
        let scored = reference.figures.targets.count { $0 >= 0 }
        #expect(zip(losses, reference.figures.targets).allSatisfy { $1 >= 0 || $0 == 0 })
        #expect(abs(losses.reduce(0) { $0 + Double($1) } / Double(scored) - reference.figures.loss) < 5e-6)
    }

    @Test(arguments: names)
    func `parts of a batch accumulate to the whole batch's gradients`(name: String) throws {
        let reference = try ModelReference(name)
        let (config, seq) = (reference.figures.config, reference.figures.seq)
        var tensors: [String: Tensor] = [:]
        for name in reference.parameters.names {
            let weight = try #require(reference.parameters[name])
            tensors[name] = .variable(Tensor(shape: Shape(weight.shape), storage: weight.float32()))
        }
        let model = try DecoderLM(config: config, tensors: tensors)
        let scored = reference.figures.targets.count { $0 >= 0 }
        var gradients = Gradients()
        var loss = 0.0
        for row in 0..<reference.figures.batch {
            let range = row * seq..<(row + 1) * seq
            let input = ModelInput(
                batch: 1, seq: seq, tokens: Array(reference.figures.tokens[range]),
                keyStarts: reference.input.keyStarts.map { Array($0[range]) })
            let part = model.loss(input, targets: Array(reference.figures.targets[range]), normalizer: scored)
            loss += Double(part.scalar)
            gradients = part.gradients(adding: consume gradients)
        }
        #expect(abs(loss - reference.figures.loss) < 5e-6)
        for (name, variable) in tensors {
            let expected = try #require(reference.tensors["gradient." + name]).values
            let largest = expected.map { abs(Double($0)) }.max() ?? 0
            let found = try #require(gradients[variable]).values
            #expect(differences(found, expected, absolute: 5e-6 * largest + 1e-7) == [], "\(name)")
        }
    }
}
