-- wrk -s wrk.lua URL -- REQUEST_BODY_FILE EXPECTED_BODY_FILE
-- POSTs the same body again and again and compares every answer with what it must be, byte for byte.

local threads = {}

local function read(path)
  local file = assert(io.open(path, "rb"))
  local content = file:read("*a")
  file:close()
  return content
end

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  expected = read(args[2])
  prepared = wrk.format("POST", nil, { ["Content-Type"] = "application/json" }, read(args[1]))
  wrong = 0
  example = ""
end

function request()
  return prepared
end

function response(status, headers, body)
  if status ~= 200 or body ~= expected then
    wrong = wrong + 1
    if example == "" then
      example = "status " .. status .. ", " .. #body .. " instead of " .. #expected .. " bytes"
    end
  end
end

function done(summary, latency, requests)
  local wrong, example = 0, ""
  for _, thread in ipairs(threads) do
    wrong = wrong + thread:get("wrong")
    if thread:get("example") ~= "" then example = thread:get("example") end
  end
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"seconds":%.6f,"wrong":%d,"example":"%s","connect":%d,"read":%d,"write":%d,"timeout":%d,' ..
    '"meanMs":%.4f,"p50Ms":%.4f,"p99Ms":%.4f,"maxMs":%.4f}\n',
    summary.requests, summary.duration / 1e6, wrong, example, errors.connect, errors.read, errors.write,
    errors.timeout, latency.mean / 1e3, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
