"""Brain encoding models: stimuli -> features -> components -> responses. No interface code lives here."""
