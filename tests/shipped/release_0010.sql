BEGIN TRANSACTION;
CREATE TABLE activity_minutes (
	minute DATETIME NOT NULL, 
	bytes_moved BIGINT NOT NULL, 
	completed INTEGER NOT NULL, 
	failed INTEGER NOT NULL, 
	cancelled INTEGER NOT NULL, 
	CONSTRAINT pk_activity_minutes PRIMARY KEY (minute)
);
INSERT INTO "activity_minutes" VALUES('2026-11-27 03:49:00.000000',438272,1,0,1);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0010');
CREATE TABLE api_tokens (
	id INTEGER NOT NULL, 
	token_hash VARCHAR(64) NOT NULL, 
	user_id INTEGER NOT NULL, 
	name VARCHAR(100) NOT NULL, 
	scope VARCHAR(8) NOT NULL, 
	hint VARCHAR(8) NOT NULL, 
	created_at DATETIME NOT NULL, 
	expires_at DATETIME NOT NULL, 
	last_used_at DATETIME, 
	CONSTRAINT pk_api_tokens PRIMARY KEY (id), 
	CONSTRAINT fk_api_tokens_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE, 
	CONSTRAINT uq_api_tokens_token_hash UNIQUE (token_hash)
);
CREATE TABLE "audit" (
	id INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	actor_id INTEGER, 
	actor VARCHAR(64) NOT NULL, 
	action VARCHAR(64) NOT NULL, 
	target VARCHAR(128) NOT NULL, 
	detail TEXT NOT NULL, 
	outcome VARCHAR(16) NOT NULL, 
	address VARCHAR(64) NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_audit PRIMARY KEY (id)
);
INSERT INTO "audit" VALUES(1,'2026-11-27 03:48:49.388881',NULL,'','user.create','alice','role admin','ok','','969f4f05047dd16935a5ebdb2d801fd0c311edc8c3f4b4a661c8d7fa4d5bd6ec');
INSERT INTO "audit" VALUES(2,'2026-11-27 03:49:07.300208',NULL,'','user.create','bob','role operator','ok','','fa7202f3aecf77b16ee7a868521d30bbff3a9450ebf50731c5370df81955a47b');
INSERT INTO "audit" VALUES(3,'2026-11-27 03:49:25.520250',2,'bob','sign-in','','','ok','127.0.0.1','2833c420f90d7d4c9b2c2b6aca413600e7f8633c774bee0f066186499cc5a166');
INSERT INTO "audit" VALUES(4,'2026-11-27 03:49:25.869790',2,'bob','job.create','job 1','copy ''/srv/files/done'' to ''/srv/files/done copied''','ok','127.0.0.1','ce8d79f205d203f3b56d84fa9fc965128e31285c07d2c0273be38784232625aa');
INSERT INTO "audit" VALUES(5,'2026-11-27 03:49:26.577576',2,'bob','job.create','job 2','copy ''/srv/files/running'' to ''/srv/files/running copied''','ok','127.0.0.1','208ddfa349d1b7b0ad6daf25ad6c5aadb2790094d9e0d221afcfad514a49741a');
INSERT INTO "audit" VALUES(6,'2026-11-27 03:49:26.843788',2,'bob','job.create','job 3','copy ''/srv/files/waits'' to ''/srv/files/waits copied''','ok','127.0.0.1','43fb7df29596766b6f6099070becb2a50362a80c04db8980832aa006330c59b1');
INSERT INTO "audit" VALUES(7,'2026-11-27 03:49:27.160882',2,'bob','job.create','job 4','move ''/srv/files/moves'' to ''/srv/files/moves copied''; started without a confirmed dry run','ok','127.0.0.1','e688a066dee20990300c55d0ff5ff263ce66fc205506ef588d15c90ccd3afe27');
INSERT INTO "audit" VALUES(8,'2026-11-27 03:49:27.311391',2,'bob','job.create','job 5','copy ''/srv/files/cancelled'' to ''/srv/files/cancelled copied''','ok','127.0.0.1','7d288935e6e04ec06ee09d7751a443bbc6b3f907d3e7974be61ea749ccbff516');
INSERT INTO "audit" VALUES(9,'2026-11-27 03:49:27.668060',2,'bob','job.cancel','job 5','','ok','127.0.0.1','2190d26a0d3c0ebdd6770269171be79424cce442af450aa5ea2b37e19e15c7f3');
CREATE TABLE audit_chain (
	id INTEGER NOT NULL, 
	last_id INTEGER NOT NULL, 
	last_hash VARCHAR(64) NOT NULL, 
	cut_id INTEGER NOT NULL, 
	cut_hash VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_audit_chain PRIMARY KEY (id)
);
INSERT INTO "audit_chain" VALUES(1,9,'2190d26a0d3c0ebdd6770269171be79424cce442af450aa5ea2b37e19e15c7f3',0,'0000000000000000000000000000000000000000000000000000000000000000');
CREATE TABLE history_totals (
	span VARCHAR(8) NOT NULL, 
	start DATETIME NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	owner_id INTEGER NOT NULL, 
	source_remote_id INTEGER NOT NULL, 
	destination_remote_id INTEGER NOT NULL, 
	jobs INTEGER NOT NULL, 
	bytes_moved BIGINT NOT NULL, 
	files BIGINT NOT NULL, 
	seconds BIGINT NOT NULL, 
	CONSTRAINT pk_history_totals PRIMARY KEY (span, start, status, owner_id, source_remote_id, destination_remote_id)
)
 WITHOUT ROWID

;
INSERT INTO "history_totals" VALUES('day','2026-11-27 00:00:00.000000','cancelled',2,0,0,1,0,0,0);
INSERT INTO "history_totals" VALUES('day','2026-11-27 00:00:00.000000','completed',2,0,0,1,307200,3,0);
INSERT INTO "history_totals" VALUES('month','2026-11-01 00:00:00.000000','cancelled',2,0,0,1,0,0,0);
INSERT INTO "history_totals" VALUES('month','2026-11-01 00:00:00.000000','completed',2,0,0,1,307200,3,0);
INSERT INTO "history_totals" VALUES('quarter','2026-11-27 03:45:00.000000','cancelled',2,0,0,1,0,0,0);
INSERT INTO "history_totals" VALUES('quarter','2026-11-27 03:45:00.000000','completed',2,0,0,1,307200,3,0);
CREATE TABLE idempotency_keys (
	user_id INTEGER NOT NULL, 
	key_hash VARCHAR(64) NOT NULL, 
	body_hash VARCHAR(64) NOT NULL, 
	job_id INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_idempotency_keys PRIMARY KEY (user_id, key_hash), 
	CONSTRAINT fk_idempotency_keys_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE, 
	CONSTRAINT fk_idempotency_keys_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
CREATE TABLE identities (
	issuer VARCHAR(255) NOT NULL, 
	subject VARCHAR(255) NOT NULL, 
	user_id INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	last_used_at DATETIME NOT NULL, 
	CONSTRAINT pk_identities PRIMARY KEY (issuer, subject), 
	CONSTRAINT fk_identities_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE, 
	CONSTRAINT uq_identities_user_id_issuer UNIQUE (user_id, issuer)
);
CREATE TABLE job_counts (
	status VARCHAR(16) NOT NULL, 
	jobs INTEGER NOT NULL, 
	CONSTRAINT pk_job_counts PRIMARY KEY (status)
);
INSERT INTO "job_counts" VALUES('queued',2);
INSERT INTO "job_counts" VALUES('running',1);
INSERT INTO "job_counts" VALUES('cancelling',0);
INSERT INTO "job_counts" VALUES('interrupted',0);
INSERT INTO "job_counts" VALUES('completed',1);
INSERT INTO "job_counts" VALUES('failed',0);
INSERT INTO "job_counts" VALUES('cancelled',1);
CREATE TABLE job_events (
	id INTEGER NOT NULL, 
	job_id INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	seq BIGINT NOT NULL, 
	old_status VARCHAR(16), 
	new_status VARCHAR(16) NOT NULL, 
	actor VARCHAR(64) NOT NULL, 
	note TEXT NOT NULL, 
	CONSTRAINT pk_job_events PRIMARY KEY (id), 
	CONSTRAINT fk_job_events_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
INSERT INTO "job_events" VALUES(1,1,'2026-11-27 03:49:25.870778',1,NULL,'queued','bob','');
INSERT INTO "job_events" VALUES(2,1,'2026-11-27 03:49:25.912870',2,'queued','running','','');
INSERT INTO "job_events" VALUES(3,1,'2026-11-27 03:49:26.418725',3,'running','completed','','');
INSERT INTO "job_events" VALUES(4,2,'2026-11-27 03:49:26.577883',1,NULL,'queued','bob','');
INSERT INTO "job_events" VALUES(5,2,'2026-11-27 03:49:26.600364',2,'queued','running','','');
INSERT INTO "job_events" VALUES(6,3,'2026-11-27 03:49:26.843956',1,NULL,'queued','bob','');
INSERT INTO "job_events" VALUES(7,4,'2026-11-27 03:49:27.166709',1,NULL,'queued','bob','');
INSERT INTO "job_events" VALUES(8,5,'2026-11-27 03:49:27.311566',1,NULL,'queued','bob','');
INSERT INTO "job_events" VALUES(9,5,'2026-11-27 03:49:27.652223',2,'queued','cancelled','bob','');
CREATE TABLE job_log_chunks (
	job_id INTEGER NOT NULL, 
	first_line BIGINT NOT NULL, 
	lines INTEGER NOT NULL, 
	levels INTEGER NOT NULL, 
	data BLOB NOT NULL, 
	CONSTRAINT pk_job_log_chunks PRIMARY KEY (job_id, first_line), 
	CONSTRAINT fk_job_log_chunks_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
INSERT INTO "job_log_chunks" VALUES(1,1,7,6,X'785E9590BB0EC2300C45E7F0151E41426D43FA106CA82B13E20742E3528BD6417128E2EF2974440CACE7FA1E5D9975B52DAA429BB2D89A5CA97D8C38DC226838E38558C0338CC3AE34264B16644AA30EBEB13DB4D423C853A66BB011520963FA66923ACF088DBF113A75BC33135FC0F63D341D365799B4AD0F5335DA10DF510C96A5C5200BCAB3EA2F7B3D1B5B62920EDD1AD83F7E8A75722656F5A7094BC6C76AE69B1F3CFBE69CEB42A95387D3A6F94BC80E5DF20247E969AB');
INSERT INTO "job_log_chunks" VALUES(2,1,4,6,X'785E9D8EB10E82401044EBF32BF6038C80C423DAA9A556FA05072CB0F1D823B72BC6BF17A2765696339979339C15DB4DB1C9726B6D9A1BB357C57E50C8A0C4965820308CFDCEE679BA5AD09434E6AA2E2A710BA5E3FA41B576E0A927C5084E619D9E080E4FC54416648BCC9C43E53C34E411E429137D4E2512C764F6248977E699568581B036978F74DE43D5617593E94913E2D4FEEE6A742C0DC6FF068E6F68434CD261BD040E8F1FEC1739D66037');
CREATE TABLE job_logs (
	job_id INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	lines BIGINT NOT NULL, 
	kept_lines INTEGER NOT NULL, 
	kept_bytes INTEGER NOT NULL, 
	head_end BIGINT, 
	errors INTEGER NOT NULL, 
	removed_at DATETIME, 
	CONSTRAINT pk_job_logs PRIMARY KEY (job_id), 
	CONSTRAINT fk_job_logs_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
INSERT INTO "job_logs" VALUES(1,1,7,7,186,NULL,0,NULL);
INSERT INTO "job_logs" VALUES(2,1,4,4,175,NULL,0,NULL);
CREATE TABLE job_speeds (
	job_id INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	started_at DATETIME NOT NULL, 
	step INTEGER NOT NULL, 
	points JSON NOT NULL, 
	peak BIGINT NOT NULL, 
	CONSTRAINT pk_job_speeds PRIMARY KEY (job_id), 
	CONSTRAINT fk_job_speeds_job_id_jobs FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
INSERT INTO "job_speeds" VALUES(1,1,'2026-11-27 03:49:25.934483',1,'[25132880]',25132880);
INSERT INTO "job_speeds" VALUES(2,1,'2026-11-27 03:49:26.603667',1,'[392933, 125950, 65826, 41386]',392933);
CREATE TABLE jobs (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR(200) NOT NULL, 
	operation VARCHAR(8) NOT NULL, 
	source TEXT NOT NULL, 
	destination TEXT NOT NULL, 
	bandwidth_limit VARCHAR(64), 
	dry_run BOOLEAN NOT NULL, 
	owner_id INTEGER NOT NULL, 
	retry_of_id INTEGER, 
	status VARCHAR(16) NOT NULL, 
	attempt INTEGER NOT NULL, 
	interruptions INTEGER NOT NULL, 
	seq BIGINT NOT NULL, 
	created_at DATETIME NOT NULL, 
	queued_at DATETIME NOT NULL, 
	started_at DATETIME, 
	finished_at DATETIME, 
	heartbeat_at DATETIME, 
	worker VARCHAR(128), 
	cancel_requested_at DATETIME, 
	cancel_requested_by_id INTEGER, 
	error TEXT, 
	error_lines JSON NOT NULL, 
	exit_code INTEGER, 
	phase VARCHAR(16), 
	bytes_transferred BIGINT NOT NULL, 
	total_bytes BIGINT, 
	percent DOUBLE, 
	speed_bytes BIGINT NOT NULL, 
	eta_seconds BIGINT, 
	files_transferred INTEGER NOT NULL, 
	files_total INTEGER NOT NULL, 
	files_listed INTEGER NOT NULL, 
	current_files JSON NOT NULL, 
	progress_at DATETIME, pool VARCHAR(64), worker_id BIGINT, rung_at DATETIME, options JSON DEFAULT '{}' NOT NULL, "plan" JSON, confirms_id BIGINT, paused_at DATETIME, source_remote_id INTEGER, destination_remote_id INTEGER, 
	CONSTRAINT fk_jobs_cancel_requested_by_id_users FOREIGN KEY(cancel_requested_by_id) REFERENCES users (id), 
	CONSTRAINT fk_jobs_owner_id_users FOREIGN KEY(owner_id) REFERENCES users (id), 
	CONSTRAINT fk_jobs_retry_of_id_jobs FOREIGN KEY(retry_of_id) REFERENCES jobs (id)
);
INSERT INTO "jobs" VALUES(1,'done','copy','{root}/done','{root}/done copied',NULL,0,2,NULL,'completed',1,0,3,'2026-11-27 03:49:25.764784','2026-11-27 03:49:25.764790','2026-11-27 03:49:25.911000','2026-11-27 03:49:26.395388','2026-11-27 03:49:25.911000','vm:6330',NULL,NULL,NULL,'[]',0,'finishing',307200,307200,100.0,47637892,0,3,3,3,'[]',NULL,NULL,NULL,NULL,'{}',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(2,'running','copy','{root}/running','{root}/running copied','20k',0,2,NULL,'running',1,0,5,'2026-11-27 03:49:26.569431','2026-11-27 03:49:26.569438','2026-11-27 03:49:26.592000',NULL,'2026-11-27 03:49:30.383000','vm:6330',NULL,NULL,NULL,'[]',NULL,'transferring',131072,307200,42.6,43682,5,0,3,3,'[{"name": "0.bin", "size": 102400, "bytes_transferred": 32768, "percent": 32.0, "speed_bytes": 10923}, {"name": "1.bin", "size": 102400, "bytes_transferred": 65536, "percent": 64.0, "speed_bytes": 21845}, {"name": "2.bin", "size": 102400, "bytes_transferred": 32768, "percent": 32.0, "speed_bytes": 10923}]','2026-11-27 03:49:30.383000',NULL,NULL,NULL,'{}',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(3,'waits','copy','{root}/waits','{root}/waits copied',NULL,0,2,NULL,'queued',0,0,1,'2026-11-27 03:49:26.843088','2026-11-27 03:49:26.843093',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[]',NULL,NULL,0,NULL,NULL,0,NULL,0,0,0,'[]',NULL,NULL,NULL,NULL,'{}',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(4,'moves','move','{root}/moves','{root}/moves copied',NULL,0,2,NULL,'queued',0,0,1,'2026-11-27 03:49:27.158191','2026-11-27 03:49:27.158199',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[]',NULL,NULL,0,NULL,NULL,0,NULL,0,0,0,'[]',NULL,NULL,NULL,NULL,'{}',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(5,'cancelled','copy','{root}/cancelled','{root}/cancelled copied',NULL,0,2,NULL,'cancelled',0,0,2,'2026-11-27 03:49:27.310725','2026-11-27 03:49:27.310730',NULL,'2026-11-27 03:49:27.623256',NULL,NULL,'2026-11-27 03:49:27.623243',2,NULL,'[]',NULL,NULL,0,NULL,NULL,0,NULL,0,0,0,'[]',NULL,NULL,NULL,NULL,'{}',NULL,NULL,NULL,NULL,NULL);
CREATE TABLE known_addresses (
	user_id INTEGER NOT NULL, 
	address VARCHAR(64) NOT NULL, 
	seen_at DATETIME NOT NULL, 
	CONSTRAINT pk_known_addresses PRIMARY KEY (user_id, address), 
	CONSTRAINT fk_known_addresses_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
INSERT INTO "known_addresses" VALUES(2,'127.0.0.1','2026-11-27 03:49:25.487271');
CREATE TABLE password_links (
	user_id INTEGER NOT NULL, 
	token_hash VARCHAR(64) NOT NULL, 
	created_at DATETIME NOT NULL, 
	expires_at DATETIME NOT NULL, 
	CONSTRAINT pk_password_links PRIMARY KEY (user_id), 
	CONSTRAINT fk_password_links_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE, 
	CONSTRAINT uq_password_links_token_hash UNIQUE (token_hash)
);
CREATE TABLE recovery_codes (
	user_id INTEGER NOT NULL, 
	code_hash VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_recovery_codes PRIMARY KEY (user_id, code_hash), 
	CONSTRAINT fk_recovery_codes_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE TABLE remotes (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR(32) NOT NULL, 
	backend VARCHAR(32) NOT NULL, 
	options JSON NOT NULL, 
	secrets JSON NOT NULL, 
	role VARCHAR(16) NOT NULL, 
	start TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	changed_at DATETIME NOT NULL, 
	changed_by VARCHAR(64) NOT NULL, 
	tested_at DATETIME, 
	works BOOLEAN, 
	verdict TEXT NOT NULL, 
	CONSTRAINT uq_remotes_name UNIQUE (name)
);
CREATE TABLE second_factors (
	user_id INTEGER NOT NULL, 
	secret VARCHAR(255) NOT NULL, 
	enabled_at DATETIME NOT NULL, 
	last_step BIGINT NOT NULL, 
	CONSTRAINT pk_second_factors PRIMARY KEY (user_id), 
	CONSTRAINT fk_second_factors_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE TABLE sessions (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	token_hash VARCHAR(64) NOT NULL, 
	user_id INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	last_seen_at DATETIME NOT NULL, 
	expires_at DATETIME NOT NULL, 
	address VARCHAR(64) NOT NULL, 
	user_agent VARCHAR(255) NOT NULL, 
	remember BOOLEAN NOT NULL, rotation_due_at DATETIME, previous_hash VARCHAR(64), previous_until DATETIME, rotated_at DATETIME, second_step BOOLEAN DEFAULT 0 NOT NULL, 
	CONSTRAINT fk_sessions_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE, 
	CONSTRAINT uq_sessions_token_hash UNIQUE (token_hash)
);
INSERT INTO "sessions" VALUES(1,'4c56944369e602550ec6452e2efa85ed9acd064e89c711bb26b3568ee1066221',2,'2026-11-27 03:49:25.519134','2026-11-27 03:49:25.519142','2026-11-28 03:49:25.496848','127.0.0.1','python-requests/2.34.2',0,NULL,NULL,NULL,NULL,0);
CREATE TABLE sign_in_limits (
	"key" VARCHAR(64) NOT NULL, 
	tries DOUBLE NOT NULL, 
	counted_at DATETIME NOT NULL, 
	blocked_until DATETIME, 
	CONSTRAINT pk_sign_in_limits PRIMARY KEY ("key")
);
INSERT INTO "sign_in_limits" VALUES('0f3369d26055452b30b884c1a2f1b33c8e5fbf1064a98d7d4712f7d14db8350a',0.0,'2026-11-27 03:49:24.308143',NULL);
CREATE TABLE user_settings (
	user_id INTEGER NOT NULL, 
	refresh_interval INTEGER NOT NULL, 
	theme VARCHAR(8) NOT NULL, 
	timezone VARCHAR(64) NOT NULL, 
	notifications VARCHAR(8) NOT NULL, 
	CONSTRAINT pk_user_settings PRIMARY KEY (user_id), 
	CONSTRAINT fk_user_settings_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
INSERT INTO "user_settings" VALUES(1,2,'auto','UTC','off');
INSERT INTO "user_settings" VALUES(2,2,'auto','UTC','off');
CREATE TABLE users (
	id INTEGER NOT NULL, 
	username VARCHAR(64) NOT NULL, 
	password_hash VARCHAR(255) NOT NULL, 
	role VARCHAR(16) NOT NULL, 
	active BOOLEAN NOT NULL, 
	created_at DATETIME NOT NULL, last_sign_in_at DATETIME, 
	CONSTRAINT pk_users PRIMARY KEY (id), 
	CONSTRAINT uq_users_username UNIQUE (username)
);
INSERT INTO "users" VALUES(1,'alice','$argon2id$v=19$m=65536,t=3,p=4$KNADc+iOI0hEHUZxWgjh1A$4ESk3OK/LjdFQEZD06KJaN6z3jkYhgq1Tna2nZCR7bg','admin',1,'2026-11-27 03:48:49.378881',NULL);
INSERT INTO "users" VALUES(2,'bob','$argon2id$v=19$m=65536,t=3,p=4$P3urs8OQEQSvMCjHpTvlDA$jF5lgBr1pgDNGI+2R79dddhQK+Ze5jhIXxxxxUrxfaY','operator',1,'2026-11-27 03:49:07.275463','2026-11-27 03:49:25.496773');
CREATE TABLE workers (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR(128) NOT NULL, 
	host VARCHAR(128) NOT NULL, 
	pid INTEGER NOT NULL, 
	machine VARCHAR(128) NOT NULL, 
	process VARCHAR(64) NOT NULL, 
	pools JSON NOT NULL, 
	version VARCHAR(32) NOT NULL, 
	concurrency INTEGER NOT NULL, 
	started_at DATETIME NOT NULL, 
	heartbeat_at DATETIME NOT NULL, 
	paused_at DATETIME, 
	draining_at DATETIME, 
	stopped_at DATETIME
);
CREATE INDEX ix_jobs_retry_of_id ON jobs (retry_of_id);
CREATE INDEX ix_jobs_status_id ON jobs (status, id);
CREATE INDEX ix_sessions_expires_at ON sessions (expires_at);
CREATE INDEX ix_sessions_user_id ON sessions (user_id);
CREATE INDEX ix_job_events_job_id_id ON job_events (job_id, id);
CREATE UNIQUE INDEX ix_sessions_previous_hash ON sessions (previous_hash);
CREATE INDEX ix_sign_in_limits_counted_at ON sign_in_limits (counted_at);
CREATE INDEX ix_api_tokens_user_id ON api_tokens (user_id);
CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at);
CREATE INDEX ix_audit_at ON audit (at);
CREATE INDEX ix_audit_action ON audit (action);
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is only ever added to'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
    WHEN OLD.id > (SELECT cut_id FROM audit_chain)
    BEGIN SELECT RAISE(ABORT, 'the audit log is only ever added to'); END;
CREATE INDEX ix_workers_stopped_at_heartbeat_at ON workers (stopped_at, heartbeat_at);
CREATE INDEX ix_jobs_confirms_id ON jobs (confirms_id);
CREATE INDEX ix_jobs_history ON jobs (finished_at, id) WHERE finished_at IS NOT NULL;
CREATE INDEX ix_jobs_history_status ON jobs (status, finished_at, id) WHERE finished_at IS NOT NULL;
CREATE INDEX ix_jobs_owner_id_history ON jobs (owner_id, finished_at, id);
CREATE INDEX ix_jobs_source_remote_id_history ON jobs (source_remote_id, finished_at, id);
CREATE INDEX ix_jobs_destination_remote_id_history ON jobs (destination_remote_id, finished_at, id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('sessions',1);
INSERT INTO "sqlite_sequence" VALUES('jobs',5);
COMMIT;
