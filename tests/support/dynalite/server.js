// dynalite on a free port of 127.0.0.1. Prints {"port": ...}, and ends when its input does.
// `make environments` installs it.
const dynalite = require('../../../.venv-dynalite/node_modules/dynalite')

const server = dynalite({ createTableMs: 0, deleteTableMs: 0, updateTableMs: 0 })
server.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ port: server.address().port }))
})
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
