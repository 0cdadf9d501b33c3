import Models
import Recipes
import Training

extension TrainingPlan {
    /// Adds the distillation, the early stopping and the weights trained first of `uptrain`; for early stopping the parent's
    /// held-out loss is measured.
    mutating func add(
        _ uptrain: UptrainSettings, parent: (config: ModelConfig, parameters: Parameters), data: TrainingData,
        reporter: ProgressReporter
    ) throws {
        keyValueSteps = Int(((uptrain.keyValueShare ?? 0) * Double(steps)).rounded())
        guard uptrain.usesParent else { return }
        var teacher = try DecoderLM(config: parent.config, parameters: parent.parameters)
        if let stop = uptrain.stopAt {
            reporter.progress("the parent's held-out loss")
            let loss = data.validationLoss(teacher)
            reporter.clear()
            self.stop = StopCriterion(
                loss: loss * (1 + stop.withinParentPercent / 100), every: stop.every ?? max(1, steps / 20))
        }
        if let distill = uptrain.distill {
            teacher.compute.precision = compute.precision
            distillation = Distillation(
                teacher: teacher, weight: distill.weight, temperature: distill.temperature, hidden: distill.hidden)
        }
    }
}
