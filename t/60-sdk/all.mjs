// SPDX-License-Identifier: Apache-2.0
// All tests in one process, so that the report is one flat list.
import './matrix.mjs';
import './trouble.mjs';
import './ai-sdk.mjs';
