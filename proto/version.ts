/** The version of this project, as every tier says it. @module */
export const VERSION = "0.1.0";
