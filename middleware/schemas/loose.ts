import * as v from 'valibot'
import { boolean, model } from './fields.ts'

/** For the routes whose bodies differ between versions of vLLM: only what routing itself reads. */
export const loose = v.object({ model, stream: boolean })
